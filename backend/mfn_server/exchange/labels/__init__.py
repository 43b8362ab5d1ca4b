"""What was said of features, on its way out and back in; docs/reference/label-files.md describes each format."""
