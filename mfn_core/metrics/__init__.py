"""Measures of codes, dictionaries and models: small functions on arrays, each with its definition and source.

Nothing here runs a model or reads text. What a measure is taken on, and against what it is held, is said by those who
call it. Sums are in float64 wherever many terms add up.
"""
