"""Eigenspectra of a covariance and the power law fitted to them."""
