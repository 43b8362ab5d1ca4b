"""Campaigns: features that a team names together, several independent opinions each, one after the other.

`events` says what can be done to a campaign and `store` keeps it; `priority` says what comes first, `leases` who has
what before them, `opinions` takes in what they say and holds the number that is asked for. `blind` says what is hidden
from whom; everything that shows labels asks it.
"""
