"""Attribution graphs: a prompt's way from tokens to logits through the features of every layer, edges tested.

`transcoders` the dictionaries of all layers; `frozen` the model made linear at a prompt; `rows` what a graph is;
`study` computes it; `interventions` tests its edges in the real model; `export` writes circuit-tracer's JSON.
"""
