"""What people and programs say about features: a log that is only added to, and what follows from it.

`payloads` says what can be said, `fold` what follows from it, `log` and `projections` keep both, `commands` decides
what is taken in. `reading` shows any moment of it.
"""
