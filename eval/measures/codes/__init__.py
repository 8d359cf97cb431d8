"""Spline codes: packed bits, their distances, the polytope they name."""
