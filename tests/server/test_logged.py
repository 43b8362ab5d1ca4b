"""An event that a newer version of the app wrote is told alike, whichever log it is in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mfn_server.campaigns import events as campaigns
from mfn_server.collecting import events as collections
from mfn_server.labels.payloads import read_payload
from mfn_server.logged import PayloadError


@pytest.mark.parametrize(
    ("read", "kind", "log"),
    [
        (read_payload, "propose", "label"),
        (campaigns.read_deed, "close", "campaign"),
        (collections.read_deed, "undo", "collection"),
    ],
)
def test_what_a_newer_version_wrote_is_refused(read: Callable[..., Any], kind: str, log: str) -> None:
    for named, version in (("dance", 1), (kind, 99)):
        with pytest.raises(PayloadError, match=rf"a {log} event \({named}, version {version}\)"):
            read(named, version, {})
