"""The polytope lens on a language model: spline codes of the MLPs, what they group, and where they change.

from llm_codes.lenses.polytopes.study import polytopes
"""
