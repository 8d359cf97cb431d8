"""Training dictionaries on one pass: resumable at any moment, written in sae-lens' format.

`places` which sites and widths; `specification` one line per dictionary; `stream` activations in shuffled blocks;
`trainers` and `lens_step` one step; `loop` the run; `checkpoints` what a continuation needs; `saving` what is written.
"""
