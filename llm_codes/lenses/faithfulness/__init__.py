"""How few nodes do what the whole model does? Faithfulness curves over prompts of several kinds.

`prompts` places that the model gets right; `gates` the model with nodes ablated; `rankings` in which order nodes are
kept; `study` the curves; `claims` what they say.
"""
