"""Sparse maps between two dictionaries, the logic they spell, how faithful they are."""
