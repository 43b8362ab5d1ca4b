"""`mfn users`, on a database that no server need be running on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mfn_core.errors import MFNError
from mfn_server.access.accounts import account_named
from mfn_server.access.audit import read_log
from mfn_server.access.desk import now
from mfn_server.access.links import Kind, look_at
from mfn_server.cli import app
from mfn_server.db.migrate import open_database
from tests.server.access.people import PASSWORD


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "studio.sqlite3"


def mfn(path: Path, *arguments: str, typed: str = "") -> str:
    result = CliRunner().invoke(app, ["users", *arguments, "--db", str(path)], input=typed)
    if result.exception is not None:
        raise result.exception
    return result.stdout.strip()


def test_the_first_admin_and_those_who_follow(path: Path) -> None:
    assert "create-admin" in mfn(path, "list")
    assert mfn(path, "create-admin", "Ann  Lee", typed=f"{PASSWORD}\n") == "Ann Lee is an admin now, and can log in"
    link = mfn(path, "invite", "--role", "reviewer", "--note", "for bob", "--url", "https://studio.example/")
    assert re.fullmatch(r"https://studio\.example/join#[\w-]{43}", link)
    reset = mfn(path, "reset-password", "ann lee")
    assert re.fullmatch(r"http://127\.0\.0\.1:8765/reset#[\w-]{43}", reset)
    assert re.fullmatch(r"admin +Ann Lee +seen never", mfn(path, "list"))
    database = open_database(f"sqlite:///{path}")
    with database.read() as connection:
        assert look_at(connection, Kind.INVITATION, link.partition("#")[2], now()).role == "reviewer"
        assert look_at(connection, Kind.RESET, reset.partition("#")[2], now()).name == "Ann Lee"
        account = account_named(connection, "ann lee")
        assert account is not None
        assert account.password_hash.startswith("$argon2id$")
        log = read_log(connection, None, None, 10)
        assert [row.action for row in log] == ["reset.made", "invitation.made", "account.created"]
        assert {row.via for row in log} == {"command line"}
    database.close()


@pytest.mark.parametrize(
    ("arguments", "typed", "says"),
    [
        (("create-admin", "ann"), f"{PASSWORD}\n", "somebody is called ann already"),
        (("create-admin", "bob"), "short\n", "at least 12 characters"),
        (("create-admin", "bob"), "", "at least 12 characters"),
        (("create-admin", "b\u200bob"), f"{PASSWORD}\n", "invisible characters"),
        (("reset-password", "nobody"), "", "nobody is called nobody"),
        (("deactivate", "ann"), "", "this is the last admin; make somebody else an admin first"),
    ],
)
def test_what_cannot_be_done_is_one_line(path: Path, arguments: tuple[str, ...], typed: str, says: str) -> None:
    mfn(path, "create-admin", "ann", typed=f"{PASSWORD}\n")
    with pytest.raises(MFNError, match=re.escape(says)):
        mfn(path, *arguments, typed=typed)


def test_out_of_use_and_back(path: Path) -> None:
    for name in ("ann", "bob"):
        mfn(path, "create-admin", name, typed=f"{PASSWORD}\n")
    assert mfn(path, "deactivate", "bob") == "the account of bob is out of use"
    assert "out of use since" in mfn(path, "list")
    with pytest.raises(MFNError, match="out of use"):
        mfn(path, "reset-password", "bob")
    assert mfn(path, "deactivate", "bob", "--undo") == "the account of bob is in use"


def test_no_password_is_taken_from_the_command_line(path: Path) -> None:
    with pytest.raises(SystemExit):
        mfn(path, "create-admin", "ann", PASSWORD)
    with pytest.raises(SystemExit):
        mfn(path, "create-admin", "ann", "--password", PASSWORD)
