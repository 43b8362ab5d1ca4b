"""Labels that come with a model, in a file beside it: written without a person, shown as such until one writes."""
