"""A search for features that, turned up, make a model write what a test of the text asks for."""
