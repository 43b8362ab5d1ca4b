"""What the weights say of features: computed once a model, kept in the database, and the map that is drawn of it."""
