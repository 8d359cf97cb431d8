"""Piecewise-linear networks: traced programs, segments, slices, affine maps."""
