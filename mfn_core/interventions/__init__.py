"""What may be done to a code while a model runs, and how a batch of requests does it side by side.

Every mode is the same affine map on one entry of z, followed by ReLU, so that the map, not the mode, is what the
model's graph sees: `z' = max(mul · z + add, 0)`; where a code is signed, without the ReLU. Interventions act after
TopK, in list order. Slots that are freed are not refilled; a feature that did not fire counts as 0 and joins on `set`
and `add`, so that K may be exceeded; a condition reads the untouched code (design: "Interventions").

What is asked is plain data. The buffers are loaded when they are first asked for, so that who only passes such data on
need not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from mfn_core.interventions.condition import Condition
from mfn_core.interventions.intervention import Intervention, Mode
from mfn_core.interventions.numbers import LARGEST
from mfn_core.interventions.ramp import Ramp
from mfn_core.interventions.scope import END, Scope, ScopeKind
from mfn_core.interventions.validation import validate

if TYPE_CHECKING:
    from mfn_core.interventions.buffers import EditBuffers
    from mfn_core.interventions.layer_edits import LayerEdits

__all__ = [
    "END",
    "LARGEST",
    "Condition",
    "EditBuffers",
    "Intervention",
    "LayerEdits",
    "Mode",
    "Ramp",
    "Scope",
    "ScopeKind",
    "validate",
]

_MODULES = {"EditBuffers": "buffers", "LayerEdits": "layer_edits"}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
