"""One room per question asked of a vision model."""
