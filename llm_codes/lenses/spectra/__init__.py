"""Eigenspectra by depth."""
