"""Use a running server as a newcomer's browser would, and say what failed: `python scripts/smoke.py URL [--wait S]`.

Only the standard library, so that it runs beside any installation. Asks for the page and its assets, waits until
features can be browsed, reads one of them, inspects a text, and compares plain and steered generation.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any


class CheckError(Exception):
    """The server did not do what it should."""


def main() -> int:
    """Runs all checks in order; gives the exit status."""
    parser = argparse.ArgumentParser(description="Checks a running MFN Studio from outside.")
    parser.add_argument("url", help="where it runs, e.g. http://127.0.0.1:8765")
    parser.add_argument("--wait", type=float, default=60, help="seconds until all features must be browsable")
    given = parser.parse_args()
    url = given.url.rstrip("/")
    checks: list[tuple[str, Callable[[], str]]] = [
        ("page", lambda: check_page(url)),
        ("index", lambda: wait_for_index(url, given.wait)),
        ("features", lambda: check_features(url)),
        ("inspect", lambda: check_inspect(url)),
        ("generate", lambda: check_generate(url)),
        ("errors", lambda: check_errors(url)),
    ]
    for name, check in checks:
        begun = time.perf_counter()
        try:
            found = check()
        except (CheckError, OSError, KeyError, IndexError, ValueError) as error:
            print(f"{name}: FAILED: {error!r}", file=sys.stderr)
            return 1
        print(f"{name}: {found} ({time.perf_counter() - begun:.1f} s)")
    return 0


def check_page(url: str) -> str:
    """The page and every script and style sheet that it names come from this server."""
    page = _fetch(url + "/").decode()
    if "<html" not in page:
        raise CheckError("/ is not an HTML page")
    named = re.findall(r'(?:src|href)="([^"#]+\.(?:js|css|svg))"', page)
    for path in named:
        if "://" in path:
            raise CheckError(f"the page loads from another host: {path}")
        _fetch(url + "/" + path.lstrip("/"))
    _fetch(url + "/vendor/plotly.min.js")
    _fetch(url + "/openapi.json")
    return f"{len(named)} assets"


def wait_for_index(url: str, limit: float) -> str:
    """All features can be browsed within `limit` seconds."""
    begun = time.perf_counter()
    while True:
        index = _get(url + "/api/health")["index"]
        if index["state"] == "ready":
            return "ready"
        if index["state"] == "error" or time.perf_counter() - begun > limit:
            raise CheckError(f"the index is {index} after {time.perf_counter() - begun:.0f} s")
        time.sleep(0.5)


def check_features(url: str) -> str:
    """The list has live features in every layer, and the first of them has contexts."""
    model = _get(url + "/api/model")
    for source in model["sources"]:
        if not _get(f"{url}/api/features?source={source['key']}&limit=1")["items"]:
            raise CheckError(f"no live feature in {source['key']}")
    row = _a_feature(url)
    feature = _get(f"{url}/api/features/{row['source']}/{row['index']}")
    if not feature["contexts"]:
        raise CheckError(f"feature {row['source']}/{row['index']} has no contexts")
    return f"{_get(url + '/api/features')['total']} live in {len(model['sources'])} layers"


def check_inspect(url: str) -> str:
    """Some feature fires on every token of a text after the first."""
    answer = _post(url + "/api/inspect", {"text": "The quick brown fox jumps over the lazy dog.", "top": 3})
    for layer in answer["layers"]:
        if not all(layer["positions"][1:]):
            raise CheckError(f"a token of layer {layer['layer']} has no feature")
    return f"{len(answer['tokens'])} tokens in {len(answer['layers'])} layers"


def check_generate(url: str) -> str:
    """Plain and steered text stream side by side; the steered one says that its feature fired."""
    row = _a_feature(url)
    body = {
        "prompt": "Once upon a time",
        "max_new_tokens": 12,
        "interventions": [
            {
                "source": row["source"],
                "index": row["index"],
                "mode": "set",
                "value": 3 * row["max"],
                "scope": {"kind": "both"},
            }
        ],
        "top_fired": 8,
    }
    events = list(_stream(url + "/api/generate", body))
    problems = [data for name, data in events if name == "error"]
    if problems:
        raise CheckError(str(problems[0]))
    done = {data["stream"]: data for name, data in events if name == "done"}
    if set(done) != {"plain", "steered"}:
        raise CheckError(f"streams that ended: {sorted(done)}")
    steered = [data for name, data in events if name == "features" and data["stream"] == "steered"]
    fired = [any((f["source"], f["index"]) == (row["source"], row["index"]) for f in t["fired"]) for t in steered]
    if not fired or not all(fired):
        raise CheckError("a steered token does not show the feature that was set")
    if not any(data["kl"] > 0 for name, data in events if name == "effect"):
        raise CheckError("steering left every probability as it was")
    return f"{sum(d['n_tokens'] for d in done.values())} tokens in two streams"


def check_errors(url: str) -> str:
    """What does not exist is a 404 with a code and a message."""
    try:
        _fetch(url + "/api/features/no.such.source/0")
    except urllib.error.HTTPError as answer:
        error = json.load(answer)["error"]
        if answer.code != 404 or not error["code"] or not error["message"]:
            raise CheckError(f"an unknown source gives {answer.code} {error}") from None
        return f"{answer.code} {error['code']}"
    raise CheckError("an unknown source gives no error")


def _a_feature(url: str) -> dict[str, Any]:
    found: dict[str, Any] = _get(url + "/api/features?limit=1&sort=max")["items"][0]
    return found


def _fetch(url: str, body: dict[str, Any] | None = None) -> bytes:
    with urllib.request.urlopen(_request(url, body), timeout=60) as answer:  # noqa: S310 (the caller's own server)
        data: bytes = answer.read()
        return data


def _get(url: str) -> Any:
    return json.loads(_fetch(url))


def _post(url: str, body: dict[str, Any]) -> Any:
    return json.loads(_fetch(url, body))


def _stream(url: str, body: dict[str, Any]) -> Any:
    """Events (name, data) of a server-sent stream until it ends."""
    name, data = "message", ""
    with urllib.request.urlopen(_request(url, body), timeout=60) as answer:  # noqa: S310
        for raw in answer:
            line = raw.decode().rstrip("\r\n")
            if line.startswith("event:"):
                name = line.partition(":")[2].strip()
            elif line.startswith("data:"):
                data += line.partition(":")[2].strip()
            elif not line and data:
                yield name, json.loads(data)
                name, data = "message", ""


def _request(url: str, body: dict[str, Any] | None) -> urllib.request.Request:
    payload = None if body is None else json.dumps(body).encode()
    headers = {} if body is None else {"Content-Type": "application/json"}
    return urllib.request.Request(url, payload, headers)  # noqa: S310


if __name__ == "__main__":
    sys.exit(main())
