"""The image is not built here: what of it can be checked without Docker is what the files themselves say."""

from __future__ import annotations

import os
from pathlib import Path

from scripts.as_compose import image, services

ROOT = Path(__file__).resolve().parents[2]


def test_ci_installs_by_the_script_that_the_dockerfile_runs() -> None:
    script = ROOT / "scripts" / "install_image.sh"
    assert os.access(script, os.X_OK)
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "COPY constraints.txt scripts/install_image.sh /tmp/" in dockerfile
    assert '/tmp/install_image.sh "$(echo /dist/*.whl)" /tmp/constraints.txt' in dockerfile
    assert "pip install" not in dockerfile.rpartition("\nFROM ")[2], "a step of its own that nobody checks"
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "scripts/install_image.sh" in ci
    assert "scripts/as_compose.py" in ci


def test_the_compose_file_and_the_image_say_how_the_app_is_started() -> None:
    environment, command = image()
    assert environment == {"MFN_HOME": "/data", "MFN_ACCOUNTS": "true"}
    assert command[:2] == ["mfn", "demo"]
    studio = services("a%20b")["studio"]
    assert studio["environment"]["MFN_DATABASE"] == "postgresql://mfn:a%20b@db/mfn"
    assert studio["ports"] == ["127.0.0.1:8765:8765"], "plain HTTP: on loopback alone"
