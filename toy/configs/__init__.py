"""The configuration of each verb. Nothing here imports torch, so `--help` is instant."""
