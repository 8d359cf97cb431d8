"""Resampling, permutation, rank correlation, multiple comparisons."""
