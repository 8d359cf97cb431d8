"""What does a model lose where transcoders stand in for its MLPs, one layer at a time and all at once?

`stand_ins` transcoders of a layer each, or one of all; `outputs` what stands in for an MLP; `study` the passes;
`claims` what the numbers say; `chapter`, `command` the run.
"""
