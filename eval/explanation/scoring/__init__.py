"""How well an explanation does: scores of a simulation, questions to a judge, calibration."""
