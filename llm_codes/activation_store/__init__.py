"""Activations on disk: written once by `harvest` or any other program, read wherever a model's activations are read.

`layout` what a folder holds; `shards` one file of it; `store` reading; `writing` from any program; `study` from a
model, resumable; `forecast` how large; `inputs` what a verb opens for `--activations`.
"""
