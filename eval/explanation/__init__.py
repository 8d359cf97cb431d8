"""Explain, simulate, score: records of units in, explanations and scores out."""
