"""An index that nobody computed: for measuring what serves indexes, at any size."""
