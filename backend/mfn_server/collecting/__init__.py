"""Collections: named lists of features, with notes, that a team makes together.

`events` says what can be done to one and what follows from it, `log` keeps both, `commands` decides what is taken in,
`reading` shows them, without what is hidden from whoever asks.
"""
