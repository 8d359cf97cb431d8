"""Figures and one-file offline HTML pages."""
