"""Which tests may be run again: those in a browser alone, as CONTRIBUTING.md says."""

from __future__ import annotations

import pytest


def test_nothing_else_is_run_again(request: pytest.FixtureRequest) -> None:
    again = {item.path.parent.name for item in request.session.items if item.get_closest_marker("flaky")}
    assert again <= {"browser"}
    assert not request.config.getoption("reruns", None)
