"""What does a model lose where transcoders stand in for its MLPs, one layer at a time and all at once?

`outputs` what stands in for an MLP; `study` the passes; `claims` what the numbers say; `chapter`, `command` the run.
"""
