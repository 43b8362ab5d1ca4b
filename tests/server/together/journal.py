"""What everybody sent and what came back, by one clock; and the marks by which it is known again wherever it shows."""

from __future__ import annotations

import re
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

Place = tuple[str, int]
"""A feature: its source's key and its number."""

_MARKS = re.compile(r"zq(\d+)zq")
_IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass
class Sent:
    """One event that somebody wanted recorded, over all tries.

    Attributes:
        number: its place in the journal; every word of it carries `zq{number}zq`.
        who: its author.
        place: the feature.
        campaign: where it is an opinion or a skip.
        event: what was sent, with its kind.
        reason: sent with it.
        id: made by the client.
        begun: when it was sent for the first time.
        tries: how often it was sent.
        answer: the event as the server acknowledged it.
        refused: status and code of a refusal that is final.
    """

    number: int
    who: str
    place: Place
    campaign: str | None
    event: dict[str, Any]
    reason: str | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    begun: float = field(default_factory=time.monotonic)
    tries: int = 0
    answer: dict[str, Any] | None = None
    refused: tuple[int, str] | None = None


@dataclass
class Journal:
    """Everything that was sent, and what people saw of each other.

    Attributes:
        sent: in order.
        sights: who saw something of another's, by number, and when first.
        counts: how often what happened.
        wrong: what must not happen and did.
    """

    sent: list[Sent] = field(default_factory=list)
    by_id: dict[str, Sent] = field(default_factory=dict)
    sights: dict[tuple[str, int], float] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def new(self, who: str, place: Place, event: dict[str, Any], words: tuple[str, ...], **more: Any) -> Sent:
        """An event to be sent, each of its words marked."""
        number = len(self.sent)
        marked = {name: f"{event[name]} zq{number}zq" for name in words if name in event}
        sent = Sent(number, who, place, more.pop("campaign", None), event | marked, **more)
        self.sent.append(sent)
        self.by_id[sent.id] = sent
        return sent

    def read(self, who: str, text: str) -> None:
        """Somebody was answered, or told, this."""
        now = time.monotonic()
        seen = {int(number) for number in _MARKS.findall(text)}
        seen |= {self.by_id[each].number for each in _IDS.findall(text) if each in self.by_id}
        for number in seen:
            if self.sent[number].who != who:
                self.sights.setdefault((who, number), now)
