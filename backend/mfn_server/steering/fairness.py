"""Who is next, so that nobody waits for the crowd that another brought."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping

from mfn_server.steering.streams import Stream


class FairQueue:
    """Streams that wait. Users take turns; one user's streams keep their order.

    Next is the user who holds fewest rows of the engine; of several, the one whose turn was longest ago.
    """

    def __init__(self) -> None:
        self._users: OrderedDict[str, deque[Stream]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, stream: Stream) -> None:
        """Let a stream wait."""
        self._users.setdefault(stream.user, deque()).append(stream)
        self._length += 1

    def remove(self, stream: Stream) -> bool:
        """Take a stream out, wherever it stands. False if it does not wait."""
        mine = self._users.get(stream.user)
        if mine is None or stream not in mine:
            return False
        mine.remove(stream)
        self._length -= 1
        if not mine:
            del self._users[stream.user]
        return True

    def first(self, held: Mapping[str, int]) -> Stream | None:
        """Who is next, given how many rows each user holds. It goes on waiting."""
        if not self._users:
            return None
        user = min(self._users, key=lambda name: held.get(name, 0))  # of equal ones the first
        return self._users[user][0]

    def take(self, stream: Stream) -> None:
        """Take out the stream that is next; its user's turn is over."""
        user = stream.user
        self.remove(stream)
        if user in self._users:
            self._users.move_to_end(user)
