"""Which passwords are taken, and what is kept of them."""

from __future__ import annotations

import pytest
from pwdlib.hashers.argon2 import Argon2Hasher

from mfn_server.access.names import clean_name
from mfn_server.access.passwords import Passwords, check_password
from mfn_server.errors import APIError
from tests.server.access.people import PASSWORD, cheap


def test_in_use_a_password_costs_what_rfc_9106_asks_for() -> None:
    hashed = Passwords().hash(PASSWORD)
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert PASSWORD not in hashed


def test_the_right_password_alone_is_right_whatever_the_keyboard() -> None:
    passwords = cheap()
    hashed = passwords.hash("Straße über den Fluß")
    assert passwords.verify("Straße u\u0308ber den Fluß", hashed) == (True, None)
    assert passwords.verify("Strasse über den Fluß", hashed) == (False, None)
    assert passwords.verify("nobody's password", None) == (False, None)


def test_a_hash_weaker_than_todays_is_replaced_when_it_is_seen() -> None:
    weaker = cheap().hash(PASSWORD)
    stronger = Passwords(Argon2Hasher(time_cost=2, memory_cost=16, parallelism=1))
    right, newer = stronger.verify(PASSWORD, weaker)
    assert right
    assert newer is not None
    assert "m=16,t=2" in newer
    assert stronger.verify("another", weaker) == (False, None)


def test_a_name_that_nobody_has_costs_as_much_as_a_wrong_password(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords, looked_at = cheap(), list[str]()
    hashed, decoy = passwords.hash(PASSWORD), passwords.decoy
    verify = Argon2Hasher.verify

    def counted(self: Argon2Hasher, password: str | bytes, hash: str | bytes) -> bool:
        looked_at.append(str(hash))
        return verify(self, password, hash)

    monkeypatch.setattr(Argon2Hasher, "verify", counted)
    passwords.verify("wrong", hashed)
    passwords.verify("wrong", None)
    assert looked_at == [hashed, decoy]
    assert hashed.split("$")[:4] == decoy.split("$")[:4]  # the same parameters


@pytest.mark.parametrize("password", ["", "elevenchars", "x" * 300, "abababababab", "Ann Lee ann lee", "annlee123456"])
def test_what_is_too_easily_guessed_is_refused(password: str) -> None:
    with pytest.raises(APIError) as caught:
        check_password(password, "Ann Lee")
    assert (caught.value.status, caught.value.detail.code) == (422, "weak_password")


@pytest.mark.parametrize(
    "password", [PASSWORD, "twelve chars", "東京都の夜は静かでしたね。雨", " " * 3 + "blanks count"]
)
def test_everything_else_is_taken(password: str) -> None:
    check_password(password, "Ann Lee")


@pytest.mark.parametrize("name", ["", "   ", "x" * 65, "ann\u202elee", "ann\u200blee", "an\nn\0"])
def test_a_name_is_something_that_is_seen(name: str) -> None:
    with pytest.raises(APIError) as caught:
        clean_name(name)
    assert (caught.value.status, caught.value.detail.field) == (422, "name")
    assert clean_name("  Ann   Lee ") == "Ann Lee"
