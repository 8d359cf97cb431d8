"""Hooked language models: spectra, spline codes, sparse features, circuits, explanation runs."""
