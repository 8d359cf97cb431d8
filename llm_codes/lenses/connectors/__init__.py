"""Sparse feature-to-feature connectors across one MLP."""
