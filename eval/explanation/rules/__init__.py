"""Explanations that need no language model: rules that are fitted, printed, read back, and priced in bits."""
