"""Sparse dictionaries: encode and decode, training steps, quality, directions."""
