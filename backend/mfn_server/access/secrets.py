"""Secrets that this server makes: random enough that a plain hash of one tells nothing."""

from __future__ import annotations

import hashlib
import secrets

TOKEN_PREFIX = "mfn_"  # noqa: S105 - by which scanners of code know one that was published by mistake


def new_secret() -> str:
    """256 random bits, as 43 characters that URLs and headers take."""
    return secrets.token_urlsafe(32)


def hash_of(secret: str) -> bytes:
    """What is stored of it, and looked up: SHA-256. A password is another matter, see `passwords`."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
