"""Where does the answer sit, and how does it travel? Activation patching and path patching of pairs of prompts.

`pairs` clean and corrupted prompts; `swaps` forward passes with some activations replaced; `places` which positions of
different prompts belong together; `activations`, `paths`, `features` what is patched; `study` all of a pair; `together`
the pairs with intervals, nulls and corrections.
"""
