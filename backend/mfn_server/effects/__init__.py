"""What interventions will do and what they did: predictions, dose and response, good strengths."""
