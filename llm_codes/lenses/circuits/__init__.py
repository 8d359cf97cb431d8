"""Circuits: an output feature as an equation in input features, its contexts, logic form, and what interventions say.

`contexts` where features fire; `reading` equations and logic forms; `page` the one-file page; `graph` circuit-tracer's
JSON.
"""
