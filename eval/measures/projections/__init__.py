"""Random projections of a trajectory and their action."""
