"""Random projections along a moving stimulus."""
