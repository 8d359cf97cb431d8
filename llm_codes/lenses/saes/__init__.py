"""Sparse autoencoders and transcoders: trained, opened, evaluated, shown.

`training` from activations to folders of sae-lens; `files`, `foreign`, `shipped` dictionaries from disk; `folder` one
of them; `matching` whether it belongs to a model; `evaluation` held-out quality; `dashboards` its features.
"""
