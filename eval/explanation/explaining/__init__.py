"""How a language model is asked for an explanation: what it is shown, and the best of several answers."""
