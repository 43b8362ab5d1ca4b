"""Toy models in which the features are known: what superposition looks like, and how a model can be kept out of it."""
