"""Dashboards that others made of their features, to be read here: Neuronpedia's batch files, as they lie."""
