"""Which features fire on a text."""
