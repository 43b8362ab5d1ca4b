"""Starts the app as its user does: `mfn index`, then `mfn serve`, in processes of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# This switch takes the place of Playwright's of the same name, so what that turns off stands here, too. The last three
# are pages for the list below the address bar: nobody sees them, and each context would start a process for them.
FEATURES_OFF = """
AvoidUnnecessaryBeforeUnloadCheckSync DestroyProfileOnBrowserClose HttpsUpgrades HttpsFirstBalancedModeAutoEnable
LensOverlay MediaRouter PaintHolding ThirdPartyStoragePartitioning AvoidCorsURLLoaderRestartOnRedirect
OptimizationHints NetworkTimeServiceQuerying AimEnabled PreconnectToSearch
WebUIOmniboxPopup WebUIOmniboxAimPopup WebUIOmniboxFullPopup
"""
CHROMIUM_FLAGS = [
    f"--disable-features={','.join(FEATURES_OFF.split())}",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
READY_WITHIN_S = 120.0


def chromium() -> str | None:
    """Path of the system's Chromium, if it has one."""
    return next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)


def mfn(*arguments: str) -> list[str]:
    """The command line of `mfn`, whichever folder its script was installed in."""
    return [sys.executable, "-c", "from mfn_server.cli import main; main()", *arguments]


@dataclass(frozen=True)
class Studio:
    """A running app and what a test may ask it directly."""

    url: str
    pid: int | None = None
    """Of the server's process, where this one started it."""

    def get(self, path: str) -> Any:
        """JSON of a GET."""
        with urllib.request.urlopen(self.url + path, timeout=30) as response:
            return json.load(response)

    def post(self, path: str, body: object) -> Any:
        """JSON of a POST."""
        data = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Origin": self.url}
        request = urllib.request.Request(self.url + path, data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    def wait_until_ready(self, indexed: bool = True) -> None:
        """Until the model is loaded and, unless it has no index, all features can be browsed."""
        begun = time.monotonic()
        while True:
            health = self.get("/api/health")
            if health["model_loaded"] and health["index"]["state"] == ("ready" if indexed else "missing"):
                return
            if health["index"]["state"] == "error" or time.monotonic() - begun > READY_WITHIN_S:
                raise RuntimeError(f"the app is not ready: {health}")
            time.sleep(0.2)


def index(bundle: Path, corpus: Path, database: Path) -> None:
    """Index a corpus into a database."""
    command = mfn("index", str(bundle), str(corpus), "--db", str(database), "--name", "test corpus")
    done = subprocess.run(command, capture_output=True, text=True, timeout=READY_WITHIN_S, env=_environment(database))
    if done.returncode != 0:
        raise RuntimeError(f"mfn index failed: {done.stderr}")


@contextmanager
def serve(*arguments: str, home: Path, indexed: bool = True, port: int = 0) -> Iterator[Studio]:
    """Run `mfn` with these arguments until the block is left. `indexed`: wait for the index, too. Port 0: any."""
    command = mfn(*arguments, "--port", str(port), "--no-browser")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=_environment(home)
    ) as process:
        try:
            studio = Studio(_address(process), process.pid)
            studio.wait_until_ready(indexed)
            yield studio
        finally:
            process.terminate()


def _environment(home: Path) -> dict[str, str]:
    folder = home if home.is_dir() else home.parent
    return os.environ | {"MFN_HOME": str(folder), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}


def _address(process: subprocess.Popen[str]) -> str:
    """The address the server says; its further output is read on, so that it never waits for us."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if found := re.search(r"http://[\w.\[\]:]+", line):
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return found.group().rstrip("/")
    raise RuntimeError("the app ended before it said where it is:\n" + "".join(lines))
