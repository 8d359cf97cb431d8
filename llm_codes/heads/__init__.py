"""Sites of attention heads."""
