"""A test that hangs fails, and the others go on: each has a limit, as tests/conftest.py says."""

from __future__ import annotations

import pytest


def test_every_test_has_a_limit(request: pytest.FixtureRequest) -> None:
    if not request.config.pluginmanager.hasplugin("timeout"):
        pytest.skip("pytest-timeout is not installed")
    without = [item.nodeid for item in request.session.items if not item.get_closest_marker("timeout")]
    assert without == []
