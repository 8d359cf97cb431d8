"""Eigenspectra of known codes."""
