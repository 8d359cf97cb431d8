"""Explain units in words, simulate them, score the simulation."""
