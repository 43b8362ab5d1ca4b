"""Generation under interventions, streamed while it is written."""
