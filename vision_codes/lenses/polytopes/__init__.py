"""Polytopes of convolutional networks."""
