"""Names of people: what may stand in one, and when two are the same."""

from __future__ import annotations

import unicodedata

from mfn_server.errors import APIError

LONGEST = 64


def clean_name(name: str) -> str:
    """A name without needless blanks. Raises APIError, 422: it is empty, too long, or has characters nobody sees."""
    clean = " ".join(unicodedata.normalize("NFC", name).split())
    if not clean or len(clean) > LONGEST:
        raise APIError(422, "invalid_name", f"a name has 1 to {LONGEST} characters", field="name")
    if any(unicodedata.category(character).startswith("C") for character in clean):
        raise APIError(422, "invalid_name", "a name has no invisible characters", field="name")
    return clean


def name_key(name: str) -> str:
    """Two names with the same key are the same: case, width of characters and blanks make no difference."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(folded.split())
