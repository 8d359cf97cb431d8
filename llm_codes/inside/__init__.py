"""Sites inside the branches of a block: attention heads, routers of experts, recurrent states."""
