"""Weights between features of different layers that hold over a corpus: `study` fits and tests them, `paths` the ways
between layers, `screening` and `fitting` the passes over text, `methods` the rivals, `interventions` what is tested.
"""
