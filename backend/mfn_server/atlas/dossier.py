"""One feature as a page of plain text, for a reader who is to label it, or to judge a label.

Shows more than the strongest contexts: a label that is read off those alone is about the top of a feature's range. A
token on which the feature fires stands in ⟦brackets⟧, the strongest of the piece as ⟦▲so⟧.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from mfn_server.features.schemas import Context, FeaturePage, TokenLogit

TOP, MIDDLE, LOW = 8, 4, 2
"""How many contexts of each part of the range."""

MIDDLE_BANDS = (4, 5, 3, 6)
LOW_BANDS = (1, 0, 2)
"""Deciles of the contexts by strength, 0 the weakest: where those parts are looked for, in this order."""

_BEFORE, _AFTER = 13, 7  # tokens around the strongest one; a causal model has seen only what stands before it
_LOGITS = 10
_PARTIAL = re.compile("⟨[0-9a-f]{2}( [0-9a-f]{2})*⟩")  # how a token is shown that is not whole characters
_CONTINUATION = bytes(range(0x80, 0xC0))  # bytes of UTF-8 that begin no character


def dossier(page: FeaturePage) -> str:
    """The text on one feature."""
    return "\n".join(_lines(page))


def _lines(page: FeaturePage) -> Iterator[str]:
    yield f"## layer {page.layer}, feature {page.index}  ({page.source})"
    if not page.firing_count:
        yield "never fires in this text"
        return
    token_r2 = "" if page.token_r2 is None else f", token R² {page.token_r2:.2f}"
    yield (
        f"fires on {page.rate:.3%} of tokens ({page.firing_count:,} of {page.n_tokens:,}), "
        f"max {page.max:.3g}, mean {page.mean:.3g}{token_r2}"
    )
    yield "fires on    " + "  ".join(f"{_quoted(token.text)} {token.share:.0%}" for token in page.top_tokens)
    yield "promotes    " + _logits(page.promoted)
    yield "suppresses  " + _logits(page.suppressed)
    shown: set[str] = set()
    bands = {band.band: band.contexts for band in page.bands}
    for title, contexts, most in (
        ("strongest", [page.contexts], TOP),
        ("middle of the range", [bands.get(band, []) for band in MIDDLE_BANDS], MIDDLE),
        ("weak", [bands.get(band, []) for band in LOW_BANDS], LOW),
    ):
        pieces = list(_pieces(contexts, most, shown))
        if pieces:
            yield f"{title}:"
        for context, piece in pieces:
            yield f"  {context.peak_value / page.max:4.0%}  {piece}"


def _pieces(parts: Iterable[Sequence[Context]], most: int, shown: set[str]) -> Iterator[tuple[Context, str]]:
    """At most so many contexts that were not `shown` yet, out of the first parts that have any."""
    left = most
    for part in parts:
        for context in part:
            piece = _piece(context)
            if left and piece not in shown:
                shown.add(piece)
                left -= 1
                yield context, piece


def _piece(context: Context) -> str:
    first, last = max(context.peak - _BEFORE, 0), min(context.peak + _AFTER, len(context.tokens))
    marked = []
    for begin, end in _characters(context.tokens, first, last):
        text = _joined(context.tokens[begin:end])
        if begin <= context.peak < end:
            text = f"⟦▲{text}⟧"
        elif any(value > 0 for value in context.values[begin:end]):
            text = f"⟦{text}⟧"
        marked.append(text)
    return visible("".join(marked))


def _characters(tokens: Sequence[str], first: int, last: int) -> Iterator[tuple[int, int]]:
    """Stretches of tokens that are whole characters together: a script cut into bytes could not be read otherwise."""
    begin = first
    for end in range(first + 1, last + 1):
        goes_on = end < last and _PARTIAL.fullmatch(tokens[end - 1]) and _PARTIAL.fullmatch(tokens[end])
        if not (goes_on and _is_cut(_bytes(tokens[begin:end]))):
            yield begin, end
            begin = end


def _joined(tokens: Sequence[str]) -> str:
    """Their text, with bytes made into characters where they are whole."""
    if not _PARTIAL.fullmatch(tokens[0]):
        return "".join(tokens)
    return _bytes(tokens).decode(errors="replace")


def _bytes(tokens: Sequence[str]) -> bytes:
    return bytes.fromhex("".join(token.strip("⟨⟩") for token in tokens))


def _is_cut(raw: bytes) -> bool:
    """Whether the last character lacks bytes; a first one that lacks its beginning does not count."""
    try:
        raw.lstrip(_CONTINUATION).decode()
    except UnicodeDecodeError:
        return True
    return False


def _logits(tokens: Sequence[TokenLogit]) -> str:
    return "  ".join(f"{_quoted(token.text)} {token.logit:+.2g}" for token in tokens[:_LOGITS])


def _quoted(text: str) -> str:
    return f"“{visible(text)}”"


def visible(text: str) -> str:
    """The same text on one line: ↵ for a line's end, ⇥ for a tab."""
    return text.replace("\n", "↵").replace("\r", "↵").replace("\t", "⇥")
