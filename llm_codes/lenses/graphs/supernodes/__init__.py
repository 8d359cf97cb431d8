"""Supernodes: features of a graph that belong together, suggested, named, edited by hand and saved with the graph."""
