"""Eigenspectra and eigenfilters by depth."""
