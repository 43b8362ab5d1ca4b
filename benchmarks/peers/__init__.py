"""Scripts that time other packages, each run by a Python of its own; they know nothing of ours."""
