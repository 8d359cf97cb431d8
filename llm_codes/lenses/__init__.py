"""One room per question asked of a language model."""
