"""Random projections along a text."""
