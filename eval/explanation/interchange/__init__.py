"""Records, predictions and explanations in the formats that others read."""
