"""Passwords: which are taken, how they are kept, and how they are checked."""

from __future__ import annotations

import unicodedata
from functools import cached_property

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from mfn_server.errors import APIError

SHORTEST, LONGEST = 12, 256
FEWEST_DISTINCT = 5
AT_A_TIME = 2
"""Each hash takes 64 MiB for a moment: more at once wait, or a crowd at the door would fill the memory."""


class Passwords:
    """Hashes with Argon2id (RFC 9106's second choice: 3 passes, 64 MiB, 4 lanes), or with a hasher of yours."""

    def __init__(self, hasher: Argon2Hasher | None = None) -> None:
        self._scheme = PasswordHash((hasher or Argon2Hasher(),))
        self._limiter = CapacityLimiter(AT_A_TIME)

    @cached_property
    def decoy(self) -> str:
        """The hash of a password that nobody has."""
        return self._scheme.hash("nobody's password")

    def hash(self, password: str) -> str:
        """What is stored of a password."""
        return self._scheme.hash(_normal(password))

    def verify(self, password: str, hashed: str | None) -> tuple[bool, str | None]:
        """Whether it is the password, and a new hash where the one given is weaker than those made today.

        Takes as long for an account that does not exist (`hashed` is None) as for a wrong password.
        """
        right, newer = self._scheme.verify_and_update(_normal(password), hashed or self.decoy)
        return (right, newer) if hashed is not None else (False, None)

    async def hash_aside(self, password: str) -> str:
        """`hash` in a thread, a few at a time."""
        return await run_sync(self.hash, password, limiter=self._limiter)

    async def verify_aside(self, password: str, hashed: str | None) -> tuple[bool, str | None]:
        """`verify` in a thread, a few at a time."""
        return await run_sync(self.verify, password, hashed, limiter=self._limiter)


def check_password(password: str, name: str) -> None:
    """Raises APIError, 422, for one that is too easily guessed. Nothing is asked of which characters it has."""
    normal = _normal(password)
    if len(normal) < SHORTEST:
        raise _weak(f"a password has at least {SHORTEST} characters", "several words are easier to remember")
    if len(normal) > LONGEST:
        raise _weak(f"a password has at most {LONGEST} characters")
    if len(set(normal)) < FEWEST_DISTINCT:
        raise _weak("the password repeats too few characters")
    plain = "".join(normal.casefold().split())
    if plain.replace("".join(name.casefold().split()), "").strip("0123456789!.-_") == "":
        raise _weak("the password is hardly more than the name")


def _normal(password: str) -> str:
    """The same password from each keyboard: composed characters in one form (NFKC), as NIST SP 800-63B has it."""
    return unicodedata.normalize("NFKC", password)


def _weak(message: str, hint: str | None = None) -> APIError:
    return APIError(422, "weak_password", message, hint=hint, field="password")
