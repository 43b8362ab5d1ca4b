"""Tables, sessions, search and migrations; the same code on SQLite (the default) and PostgreSQL (for a team)."""
