"""Attribution graphs as arrays: how much each node matters, what is pruned, how much of the graph is errors."""
