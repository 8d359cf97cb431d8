"""What a unit does, not when it fires: the tokens it makes likelier, read off the logits or found by steering."""
