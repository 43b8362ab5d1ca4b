"""What one looks at in a notebook: the codes of a text, tables of features, a feature by itself, two texts compared.

`MFNModel` hands these out (`codes`, `top_features`, `feature`, `compare`, `effect`, `sweep`, `sweet_spot`). Each shows
itself as HTML in a notebook and as plain text elsewhere, and gives its numbers as plain data. Here workshops are put
together for reading; none of them knows of it.
"""

from mfn_core.reading.comparison import Comparison, Written, compare
from mfn_core.reading.effects import DoseResponse, Effect, SweetSpot, effect, sweep, sweet_spot
from mfn_core.reading.explained import Explained, explain
from mfn_core.reading.feature import Feature, Neighbour, TokenLogit
from mfn_core.reading.table import FeatureRow, FeatureTable
from mfn_core.reading.text import TextCodes, TokenValues
from mfn_core.reading.units import Tokens, Unit

__all__ = [
    "Comparison",
    "DoseResponse",
    "Effect",
    "Explained",
    "Feature",
    "FeatureRow",
    "FeatureTable",
    "Neighbour",
    "SweetSpot",
    "TextCodes",
    "TokenLogit",
    "TokenValues",
    "Tokens",
    "Unit",
    "Written",
    "compare",
    "effect",
    "explain",
    "sweep",
    "sweet_spot",
]
