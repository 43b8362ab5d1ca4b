"""Training: a language model with layers of features from scratch, or its dense twin, from one config file."""
