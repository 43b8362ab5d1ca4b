"""Neuronpedia's files, as it and SAEDashboard write them; docs/reference/exchange.md maps each field."""
