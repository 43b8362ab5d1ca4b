"""Every page of the dashboard, with something on it, for what must hold on all of them."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from playwright.sync_api import Page, TimeoutError, ViewportSize

from .studio import Studio

APP = Path(__file__).parents[2] / "frontend" / "app.js"
EVIDENCE = Path(__file__).parents[2] / "demo" / "evidence"
CAMPAIGN = uuid.UUID(int=8)
COLLECTION = uuid.UUID(int=9)
SAID = uuid.UUID(int=11)
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PHONE: ViewportSize = {"width": 360, "height": 740}
ENLARGED: ViewportSize = {"width": 640, "height": 430}  # the desktop at 200 %
TEXT = "The snow fell all night."

Visit = Callable[[Page, Studio], None]


def _home(page: Page, studio: Studio) -> None:
    page.goto("/")
    page.get_by_role("row").nth(1).wait_for()


def _browse(page: Page, studio: Studio) -> None:
    page.goto("/browse")
    page.locator(".feature-row .row-link").first.wait_for()


def _map(page: Page, studio: Studio) -> None:
    page.goto("/map")
    page.locator(".map-list .row-link").first.wait_for()


def _feature(page: Page, studio: Studio) -> None:
    row = studio.get("/api/features?limit=1")["items"][0]
    page.goto(f"/feature/{row['source']}/{row['index']}?try={quote(TEXT)}")
    page.locator(".contexts-section mark").first.wait_for()


def _inspect(page: Page, studio: Studio) -> None:
    page.goto(f"/inspect?text={quote(TEXT)}&vs={quote('The rain fell all day.')}&t=2")
    page.locator(".inspect-layer").first.wait_for()


def _steer(page: Page, studio: Studio) -> None:
    row = studio.get("/api/features?sort=max&limit=1")["items"][0]
    page.goto(f"/steer?p=The+snow&f={row['source']}/{row['index']},set,2&n=12&c=probability")
    page.locator("mfn-stream-pane[name=steered][data-state=done]").wait_for()
    page.locator("mfn-stream-pane[name=steered] [data-step='2']").click()
    page.locator("mfn-token-detail .hit").first.wait_for()


def _compare(page: Page, studio: Studio) -> None:
    rows = studio.get("/api/features?limit=2")["items"]
    page.goto("/compare?" + "&".join(f"f={row['source']}:{row['index']}" for row in rows))
    page.locator(".cosine-meter").first.wait_for()


def _evidence(page: Page, studio: Studio) -> None:
    page.goto("/evidence")
    page.locator("main h1").wait_for()
    page.wait_for_load_state("networkidle")


def _document(page: Page, studio: Studio) -> None:
    """What an experiment found; `evidence_of_the_demo` puts it there."""
    page.goto("/evidence?d=toy-engineering")
    page.locator("mfn-evidence-figure .plot[data-drawn]").first.wait_for()


@contextmanager
def evidence_of_the_demo(bundle: Path) -> Iterator[None]:
    """Beside a model that has none itself, until the block is left."""
    beside = bundle / "evidence"
    shutil.copytree(EVIDENCE, beside)
    try:
        yield
    finally:
        shutil.rmtree(beside)


def _agreement(page: Page, studio: Studio) -> None:
    page.goto("/agreement")
    page.locator(".agreement-table td").first.wait_for()


def _settings(page: Page, studio: Studio) -> None:
    page.goto("/settings")
    page.locator("main h1").wait_for()


def _foreign(page: Page, studio: Studio) -> None:
    source = studio.get("/api/foreign")["sources"][0]["key"]
    page.goto(f"/foreign/{quote(source, safe='')}/7")
    page.locator("main h1").wait_for()


def _label(page: Page, studio: Studio) -> None:
    """A feature of a campaign; not a blind one, which would hide names from other tests."""
    feature = studio.get("/api/features?limit=1&sort=index&order=desc")["items"][0]
    body = {"id": str(CAMPAIGN), "name": "Every page", "opinions": 1, "blind": False, "instructions": "Look closely."}
    these = {"kind": "list", "features": [{"source": feature["source"], "index": feature["index"]}]}
    studio.post("/api/campaigns", {**body, "features": these})
    page.goto(f"/label/{CAMPAIGN}")
    page.locator("queue-work[data-item] .contexts mark").first.wait_for()


def _runs(page: Page, studio: Studio) -> None:
    """With runs in every state, as a server answers that has been at work: real ones take their time."""
    kinds = {"working": "explain", "failed": "score", "stopped": "score", "done": "suggest"}
    items = [
        {
            "id": str(uuid.UUID(int=n)),
            "kind": kind,
            "state": state,
            "phase": "asking",
            "progress": 0.5,
            "message": None if state == "working" else f"It is {state}: <b>so</b>.",
            "person": {"id": "local", "name": "Ann"},
            "created_at": "2026-01-02T03:04:05Z",
            "finished_at": None,
            "features": 3,
            "layers": None,
            "scorers": ["detection"] if kind == "score" else None,
            "corpus": "held-out.jsonl",
            "reader": "a-model",
            "tokens_read": 1000,
            "tokens_written": 100,
            "cost": 0.25,
            "budget": 2,
        }
        for n, (state, kind) in enumerate(kinds.items())
    ]
    found = {"items": items, "busy": False, "held_out": "held-out.jsonl", "reader": "a-model", "budget": 2}
    page.route("**/api/labels/runs", lambda route: route.fulfill(json=found))
    page.goto("/label/runs")
    page.locator("[data-run][data-state=done]").wait_for()


def _collections(page: Page, studio: Studio) -> None:
    _collected(studio)
    page.goto("/collections")
    page.locator(".collection-card").first.wait_for()


def _collection(page: Page, studio: Studio) -> None:
    page.goto(f"/collection/{_collected(studio)}")
    page.locator(".collection-item-name *").first.wait_for()


def _collected(studio: Studio) -> uuid.UUID:
    """A collection of two features, one with a note."""
    rows = studio.get("/api/features?limit=2&sort=index&order=desc")["items"]
    items = [{"source": row["source"], "index": row["index"]} for row in rows]
    body = {"id": str(COLLECTION), "name": "Every page", "description": "A description.", "items": items}
    body["items"] = [items[0] | {"note": "What they share,\nin a long\u00adish note"}, items[1]]
    studio.post("/api/collections", body)
    return COLLECTION


def _person(page: Page, studio: Studio) -> None:
    row = studio.get("/api/features?limit=1&sort=index&order=desc")["items"][0]
    body = {"id": str(SAID), "event": {"kind": "comment", "text": "Every page"}}
    studio.post(f"/api/features/{row['source']}/{row['index']}/events", body)
    page.goto("/person/local")
    page.locator(".history li").first.wait_for()


def _missing(page: Page, studio: Studio) -> None:
    page.goto("/no/such/page")
    page.locator("state-view").wait_for()


PAGES: dict[str, Visit] = {
    "home": _home,
    "browse": _browse,
    "map": _map,
    "feature": _feature,
    "inspect": _inspect,
    "steer": _steer,
    "compare": _compare,
    "evidence": _evidence,
    "document": _document,
    "agreement": _agreement,
    "label": _label,
    "runs": _runs,
    "person": _person,
    "collections": _collections,
    "collection": _collection,
    "settings": _settings,
    "foreign": _foreign,
    "missing": _missing,
}
"""By the first part of their paths, as `app.js` has them, and what is no page."""

OF_PEOPLE = {"login", "join", "reset", "account", "people"}
"""Those of a server with accounts, which `test_people.py` looks at."""


# Widest thing that sticks out of the window, and by how much.
STICKS_OUT = """
() => {
  const { clientWidth } = document.documentElement;
  if (document.documentElement.scrollWidth <= clientWidth) return null;
  const out = [...document.querySelectorAll("main *, header *")]
    .filter((e) => e.getBoundingClientRect().right > clientWidth + 1);
  return `wider than ${clientWidth}: ${out.slice(0, 3).map((e) => e.outerHTML.slice(0, 90))}`;
}
"""


def sticks_out(page: Page) -> str | None:
    """What does, once plots have followed the window, which they do a moment later."""
    with suppress(TimeoutError):
        page.wait_for_function(f"() => ({STICKS_OUT})() === null", timeout=10_000)
    found: str | None = page.evaluate(STICKS_OUT)
    return found


def routed() -> set[str]:
    """The first parts of the paths that `app.js` knows, "home" for the root."""
    routes = APP.read_text(encoding="utf-8").partition("const routes = [")[2].partition("\n];")[0]
    return {path.split("/")[1] or "home" for path in re.findall(r'"(/[a-z:/]*)"', routes)}
