"""Spectra, projections and reconstructions over dropout rates."""
