"""The keys and values of R texts side by side, each growing at a pace of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import PretrainedConfig
from transformers.cache_utils import Cache, CacheLayerMixin, get_layer_types_and_kwargs

from mfn_core.errors import ConfigError

FULL, SLIDING = "full_attention", "sliding_attention"


@dataclass(slots=True)
class Place:
    """Where the tokens of the forward pass at hand belong: T more of each of n rows.

    Attributes:
        rows: int64 [n], which rows.
        first: they are the first n, so that attention can look at the cache itself instead of a copy.
        positions: int64 [n, T], of the tokens in their texts.
        length: how many positions attention looks at.
        capacity: S, how many there are.
    """

    rows: Tensor
    first: bool
    positions: Tensor
    length: int
    capacity: int
    _entries: dict[int, Tensor] = field(default_factory=dict)

    def entries(self, heads: int) -> Tensor:
        """int64 [n · H · T]: where they belong in a cache seen as [R · H · S, D]."""
        if heads not in self._entries:
            each = torch.arange(heads, device=self.rows.device)
            begins = (self.rows[:, None] * heads + each) * self.capacity
            self._entries[heads] = (begins[:, :, None] + self.positions[:, None]).reshape(-1)
        return self._entries[heads]

    def seen(self, whole: Tensor) -> Tensor:
        """What attention looks at of keys or values [R, H, S, D]: [n, H, length, D]."""
        if self.first:
            return whole[: len(self.rows), :, : self.length]
        return whole[:, :, : self.length].index_select(0, self.rows)


class SlotLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer's keys and values, [R, H, S, D] each. Positions behind a row's text hold anything finite."""

    is_compileable = True
    is_sliding = False  # a window is a matter of the mask here

    def __init__(self, rows: int, length: int, owner: SlotCache) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._rows, self._length, self._owner = rows, length, owner

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocates, once heads and channels are known."""
        heads = key_states.shape[1]
        self.keys = key_states.new_zeros(self._rows, heads, self._length, key_states.shape[-1])
        self.values = value_states.new_zeros(self._rows, heads, self._length, value_states.shape[-1])
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Puts new keys and values [n, H, T, D] where `place` says, and gives all that attention looks at."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        place = self._owner.place
        assert place is not None, "the engine says where tokens belong before each pass"
        entries = place.entries(key_states.shape[1])
        for whole, new in ((self.keys, key_states), (self.values, value_states)):
            whole.view(-1, whole.shape[-1]).index_copy_(0, entries, new.reshape(-1, new.shape[-1]))
        return place.seen(self.keys), place.seen(self.values)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset for those who make a mask of their own."""
        return self._length if self._owner.place is None else self._owner.place.length, 0

    def get_seq_length(self) -> int:
        """0: positions are always given."""
        return 0

    def get_max_length(self) -> int:
        """S."""
        return self._length


class SlotCache(Cache):
    """A cache of fixed size for R texts. Before each forward pass `place` says where its tokens belong.

    Memory: 2 · R · S · (heads · channels, summed over layers) numbers; `row_bytes` a row.
    """

    def __init__(self, config: PretrainedConfig, rows: int, length: int) -> None:
        """Args: config: the model's; rows: R; length: S.

        Raises:
            ConfigError: the model remembers its text in another way than by keys and values.
        """
        decoder = config.get_text_config(decoder=True)
        self.kinds: list[str] = get_layer_types_and_kwargs(decoder)[0]
        others = sorted(set(self.kinds) - {FULL, SLIDING})
        if others:
            raise ConfigError(
                f"texts cannot be written side by side with layers of the kind {', '.join(others)}: of {FULL} and "
                f"{SLIDING} it is known how"
            )
        self.window: int | None = decoder.sliding_window if SLIDING in self.kinds else None
        self.rows, self.length = rows, length
        self.place: Place | None = None
        self._slots = [SlotLayer(rows, length, self) for _ in self.kinds]
        super().__init__(layers=list(self._slots))

    @property
    def row_bytes(self) -> int:
        """Memory of one row; 0 before the first forward pass."""
        return sum(part.nbytes // self.rows for part in self.parts)

    def copy(self, source: int, target: int, length: int) -> None:
        """Gives a row the first `length` positions of another."""
        for part in self.parts:
            part[target, :, :length] = part[source, :, :length]

    def clear(self, row: int, stop: int, start: int = 0) -> None:
        """Forgets positions of a row, from `start` to before `stop`. What is no number would spread though masked."""
        for part in self.parts:
            part[row, :, start:stop] = 0

    @property
    def parts(self) -> Sequence[Tensor]:
        """All keys and values, [R, H, S, D] each; nothing before the first forward pass."""
        return [part for layer in self._slots for part in (layer.keys, layer.values) if part is not None]
