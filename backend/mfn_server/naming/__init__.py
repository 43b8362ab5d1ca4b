"""Names that programs suggest for features, and how well a name tells where its feature fires.

A suggestion is a label of a program that no list shows: somebody may adopt it, and only then is it somebody's word.
"""
