"""Whole experiments on models, put together from the workshops: the paper's predictions, tested and reported."""
