"""Saved settings of the Steer page."""
