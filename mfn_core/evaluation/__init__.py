"""Measures of a model's features on text whose meaning is known."""
