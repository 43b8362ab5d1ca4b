"""The worker many times over: replicas of a Ray Serve deployment, each with a model of its own."""
