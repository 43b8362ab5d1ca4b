"""What the served model is, and whether the app is well."""
