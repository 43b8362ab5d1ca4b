"""Backups: everything a database holds in one file, made while it is used, and put back with a check of every byte.

`archive` is the file; `taking` fills it, `restoring` empties it; both know SQLite and PostgreSQL.
"""
