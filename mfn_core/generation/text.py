"""A stream's text as its tokens make it, up to a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from mfn_core.tokens import IncrementalDecoder


class GrowingText:
    """Tokens in, text out. What could be the beginning of a stop string is held back until it is known not to be one.

    Attributes:
        text: all that was given out.
        stopped: a stop string has come. Of it, and of what came after it, nothing is given out.
    """

    def __init__(self, pieces: list[bytes], stops: Sequence[str] = ()) -> None:
        """Args: pieces: what each token adds, as `token_bytes` gives it; stops: what ends the text."""
        self._decoder = IncrementalDecoder(pieces)
        self._stops = tuple(stops)
        self._held = ""
        self.text = ""
        self.stopped = False

    def push(self, token: int, last: bool = False) -> str:
        """The text that can be given out now.

        Args:
            token: the next one.
            last: none follows: nothing is held back any more, broken characters come as U+FFFD.
        """
        if self.stopped:
            return ""
        self._held += self._decoder.push(token) + (self._decoder.flush() if last else "")
        end = self._found()
        if end is not None:
            self.stopped = True
        elif last:
            end = len(self._held)
        else:
            end = len(self._held) - _begun(self._held, self._stops)
        out, self._held = self._held[:end], self._held[end:]
        self.text += out
        return out

    def _found(self) -> int | None:
        """Where a stop string begins. The one that is complete first counts, so that nothing hangs on how characters
        come in tokens; of those complete at the same place the longest."""
        found = ((begin + len(stop), begin) for stop in self._stops for begin in (self._held.find(stop),) if begin >= 0)
        return min(found, default=(0, None))[1]


def _begun(text: str, stops: Sequence[str]) -> int:
    """How long the longest end of a text is that a stop string begins with."""
    longest = max((len(stop) - 1 for stop in stops), default=0)
    for length in range(min(longest, len(text)), 0, -1):
        if any(stop.startswith(text[-length:]) for stop in stops):
            return length
    return 0
