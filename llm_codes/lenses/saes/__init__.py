"""Sparse autoencoders and transcoders: trained on one pass, resumable at any moment, in sae-lens' file format.

`specification` what to train; `stream` activations in shuffled blocks; `lens_step` sae-lens' own training classes
behind our loop; `training` the loop;
`files` folders that `sae_lens.SAE.load_from_disk` reads; `evaluation` held-out quality.
"""
