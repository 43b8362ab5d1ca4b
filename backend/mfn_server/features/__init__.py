"""Features: the list, one feature's page, its labels."""
