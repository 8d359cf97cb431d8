"""Kinds of units compared: means by layer, differences, length curves, statements."""
