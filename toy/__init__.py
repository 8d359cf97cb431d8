"""Toy models and coding theory: every claim a prediction, a measurement and a verdict."""
