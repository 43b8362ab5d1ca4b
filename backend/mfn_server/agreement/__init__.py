"""How far people agree about features.

`alpha` is the measure, `opinions` what it is taken of, `report` what is shown. Programs have no part in it.
"""
