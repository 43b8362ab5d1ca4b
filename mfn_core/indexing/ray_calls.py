"""What a call to another process of a Ray cluster gave."""

from __future__ import annotations

from typing import Any


class LostError(Exception):
    """A process is gone, or what it gave."""


def result(ray: Any, ref: Any) -> Any:
    """What a call gave.

    Raises:
        LostError: the process is gone.
        Exception: what it raised.
    """
    try:
        return ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause or error) from None
    except ray.exceptions.RayError as error:
        raise LostError(" ".join(str(error).split())[:200]) from error
