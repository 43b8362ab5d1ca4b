"""What counts as a number that an intervention can hold."""

from __future__ import annotations

import math
from numbers import Integral

from mfn_core.errors import InterventionError

LARGEST = (2.0 - 2.0**-23) * 2.0**127  # of single precision


def check_value(name: str, value: float) -> None:
    """Raises InterventionError unless the value is finite and fits single precision."""
    if not math.isfinite(value):
        raise InterventionError(f"{name} must be a finite number, not {value}")
    if abs(value) > LARGEST:
        raise InterventionError(f"{name} must fit single precision, not {value}")


def check_whole(name: str, number: object) -> None:
    """Raises InterventionError unless it is a whole number."""
    if not isinstance(number, Integral):
        raise InterventionError(f"{name} must be a whole number, not {number!r}")
