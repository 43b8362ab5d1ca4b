"""How many effects are worked out at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mfn_server.errors import APIError

MOST = 4
RETRY_AFTER_SECONDS = 5


class EffectDesk:
    """Lets so many requests in and no more: each is seconds of work, in turns with what others ask of the model."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._taken = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Holds a place.

        Raises:
            APIError: 429, all are taken.
        """
        if self._taken >= self._most:
            raise APIError(
                429,
                "busy",
                f"the model is working out {self._most} other effects",
                hint="try again in a few seconds",
                headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
            )
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
