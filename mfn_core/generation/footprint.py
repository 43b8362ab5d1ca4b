"""What a request takes up in memory, known before it is taken in. Needs no torch.

Three things grow with requests: the cache, of which a stream fills a position a token; the request itself, which waits
for its turn; and what is said of it, which waits for its reader. The first is allocated from the beginning and bounded
by the number of rows; the others are bounded by whoever lets requests in.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mfn_core.generation.events import Alternative, Fired, Shift, TokenEvent, Watched

if TYPE_CHECKING:
    from mfn_core.generation.request import GenerationRequest

FEW = 8  # events of a request that are none of a token: its begin and end, a `Done` each stream


@dataclass(frozen=True, slots=True)
class Footprint:
    """Of one request, in bytes.

    Attributes:
        cache: keys and values of all positions that its streams can reach, prompt included.
        request: the request itself.
        event: one of its events.
        events: how many there can be (a number, not bytes).
    """

    cache: int = 0
    request: int = 0
    event: int = 0
    events: int = 0

    def beside_cache(self, unread: int) -> int:
        """The most that it takes up beside the cache, where a reader may lag by so many events and no more."""
        return 2 * self.request + min(self.events, unread + 1) * self.event  # where the model is, and where it came in


NOTHING = Footprint()


def footprint(request: GenerationRequest, row_bytes: int, context: int) -> Footprint:
    """What a request takes up at most.

    Args:
        request: checked.
        row_bytes, context: of the engine; see there.
    """
    streams = 2 if request.compare else 1
    new = min(request.max_new_tokens, context - len(request.prompt))
    return Footprint(
        cache=streams * (len(request.prompt) + new) * -(-row_bytes // context),
        request=size_of(request),
        event=event_bytes(request.alternatives, request.fired, len(request.watch), request.compare),
        events=streams * new + len(request.changes) + FEW,
    )


@lru_cache(maxsize=1024)
def event_bytes(alternatives: int, fired: int, watched: int, compared: bool = False) -> int:
    """The memory of a token's event that tells of so many alternatives and features."""
    number, token = 0.1, 10**6
    event = TokenEvent(
        request="",  # which all share
        stream="steered",
        step=token,
        token=token,
        delta="\N{GRINNING FACE}" * 8,
        logprob=number,
        kl=number,
        alternatives=(Alternative(token, number),) * alternatives,
        fired=(Fired(0, token, number),) * fired,
        watched=(Watched(0, token, number, number),) * watched,
        plain_logprob=number,
        shifts=(Shift(token, number, number),) * (alternatives if compared else 0),
    )
    return size_of(event)


def size_of(thing: Any) -> int:
    """The memory of plain data: dataclasses, tuples, numbers and text, each counted as often as it occurs.

    More than there is where parts are shared, as small numbers are; never less.
    """
    size = _allotted(thing)
    if is_dataclass(thing):
        if hasattr(thing, "__dict__"):
            size += _allotted(thing.__dict__)
        return size + sum(size_of(getattr(thing, field.name)) for field in fields(thing))
    if isinstance(thing, tuple | list):
        return size + sum(map(size_of, thing))
    return size


def _allotted(thing: Any) -> int:
    """Of one object: Python's allocator gives multiples of 16 bytes."""
    return -(-sys.getsizeof(thing) // 16) * 16
