"""Metrics of ours beside those of SAEBench, computed by its own package, on the same codes and the same tokens."""
