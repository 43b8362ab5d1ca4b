"""A server as a program: it serves without torch, and lets texts end when it is told to stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from tests.server.steering.site import PATIENCE, events_of, wait_until

SCRIPT = """
import json, signal, sys
from pathlib import Path
from mfn_server.serving import serve
from mfn_server.settings import Settings

signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it once more when all is done
folder = Path(sys.argv[1])
settings = Settings(
    model=folder, database=sys.argv[2], port=0, drain_seconds=float(sys.argv[3]), log_format="json", log_level="info"
)
serve(settings, lambda url: print(url, flush=True))
heavy = ("torch", "transformers", "numba", "sklearn")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""


def test_the_web_process_does_without_torch_and_drains(tiny_bundle: Path, tmp_path: Path) -> None:
    arguments = [str(tiny_bundle), str(tmp_path / "studio.sqlite3"), str(PATIENCE)]
    log = tmp_path / "log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *arguments], stdout=subprocess.PIPE, stderr=errors, text=True
        ) as program,
    ):
        try:
            assert program.stdout is not None
            url = program.stdout.readline().strip()
            with httpx.Client(base_url=url, timeout=PATIENCE) as client:
                wait_until(lambda: client.get("/readyz").status_code == 200)
                for path in ("/", "/api/model", "/api/features", "/api/presets", "/metrics", "/openapi.json"):
                    assert client.get(path).status_code == 200, path
                assert client.post("/api/inspect", json={"text": "The ship"}).status_code == 200
                body = {"prompt": "The ship", "max_new_tokens": 90, "temperature": 1}
                with client.stream("POST", "/api/generate", json=body) as response:
                    events = events_of(response)
                    assert next(events)[0] == "start"
                    os.kill(program.pid, signal.SIGTERM)
                    assert list(events)[-1][0] == "end"
            assert json.loads(program.stdout.readline()) == []
            assert program.wait(PATIENCE) == 0
        finally:
            program.kill()
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"http", "text"} <= {entry["event"] for entry in entries}
