"""Writes screenshots of every page: `python -m tests.browser.screenshots FOLDER [--url URL] [--only NAME ...]`.

Without `--url`, the demo is started for it, and a campaign is opened in it; a server that somebody runs is not written
to. Each page is taken for desktop and phone, light and dark. `--readme` takes those that README shows, by the names
that it has there: `make screenshots` writes them into docs/images.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal
from urllib.error import HTTPError
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from .studio import CHROMIUM_FLAGS, Studio, chromium, serve

SIZES: dict[str, ViewportSize] = {
    "desktop": {"width": 1320, "height": 860},
    "phone": {"width": 360, "height": 740},
}
MAP_WITHIN_S = 60.0
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
PROMPT = "The old house stood at the end of the road"
TEXT = "I watched this film for a while last night: the worst two hours of my life. The acting was great, though."

ERROR = {"code": "internal_error", "message": "something went wrong in the server; its log says more"}

Shot = Callable[[Page, Studio], None]


def home(page: Page, studio: Studio) -> None:
    page.goto("/")
    page.locator("h1").wait_for()


def browse(page: Page, studio: Studio) -> None:
    page.goto("/browse")
    page.locator(".feature-row").first.wait_for()


def browse_preview(page: Page, studio: Studio) -> None:
    browse(page, studio)
    page.keyboard.press("j")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("j")
    page.locator(".preview .context").first.wait_for()


def map_layers(page: Page, studio: Studio) -> None:
    _until_drawn(studio)
    _map(page, "")


def _until_drawn(studio: Studio) -> None:
    """By UMAP, which takes a while after the start; where it is not installed, nobody waits long."""
    until = time.monotonic() + MAP_WITHIN_S
    while time.monotonic() < until:
        with suppress(HTTPError):  # it is not drawn at all yet
            if "umap" in studio.get("/api/map")["methods"]:
                return
        time.sleep(1)


def map_labels(page: Page, studio: Studio) -> None:
    _map(page, "?colour=label&x=0.45&y=0.5&z=3")


def map_lasso(page: Page, studio: Studio) -> None:
    _map(page, "?colour=rate&lasso=3500.3000_5500.2800_6400.4500_5600.6200_3800.5600")


def _map(page: Page, query: str) -> None:
    page.goto(f"/map{query}")
    page.locator(".map-list .row-link").first.wait_for()
    page.wait_for_load_state("networkidle")


def browse_empty(page: Page, studio: Studio) -> None:
    page.goto("/browse?q=qqqxyzzy")
    page.get_by_text("No feature matches").wait_for()


def feature(page: Page, studio: Studio) -> None:
    page.goto(_feature_path(studio) + "?try=" + TEXT.replace(" ", "+"))
    page.locator(".contexts-section mark").first.wait_for()
    _drawn(page)


def _drawn(page: Page) -> None:
    page.locator("activation-histogram rect").first.wait_for()
    page.wait_for_load_state("networkidle")
    page.evaluate("scrollTo(0, 0)")


def inspect(page: Page, studio: Studio) -> None:
    page.goto("/inspect?t=9&text=" + TEXT.replace(" ", "+"))
    page.locator(".inspect-layer").first.wait_for()


def inspect_empty(page: Page, studio: Studio) -> None:
    page.goto("/inspect")
    page.get_by_role("button", name="Inspect").wait_for()


def inspect_compare(page: Page, studio: Studio) -> None:
    other = TEXT.replace("worst", "best").replace("last night", "yesterday")
    page.goto("/inspect?t=13&text=" + TEXT.replace(" ", "+") + "&vs=" + other.replace(" ", "+"))
    page.locator(".inspect-layer").first.wait_for()


def inspect_refused(page: Page, studio: Studio) -> None:
    page.goto("/inspect?text=" + "word+" * 900)
    page.get_by_role("alert").wait_for()


def steer_first_run(page: Page, studio: Studio) -> None:
    page.goto("/steer")
    page.get_by_role("button", name="Generate").wait_for()
    page.wait_for_load_state("networkidle")


def steer(page: Page, studio: Studio) -> None:
    row = _strong_feature(studio)
    page.goto(f"/steer?p={PROMPT.replace(' ', '+')}&f={row['source']}/{row['index']},set,{row['max']:.1f}&n=80")
    page.locator("mfn-stream-pane[name=steered][data-state=done]").wait_for(timeout=60_000)
    page.get_by_role("radio", name="Change (KL)").check(force=True)
    page.locator("mfn-stream-pane[name=steered] [data-step='2']").click()
    page.locator("mfn-token-detail .hit").first.wait_for()


def steer_preset(page: Page, studio: Studio) -> None:
    page.goto("/steer")
    page.get_by_role("button", name="DNA").click()
    page.locator("mfn-stream-pane[name=steered][data-state=done]").wait_for(timeout=60_000)
    page.get_by_role("radio", name="Change (KL)").check(force=True)
    page.locator("mfn-stream-pane[name=steered] [data-step='4']").click()
    page.locator("mfn-token-detail .hit").first.wait_for()
    page.evaluate("scrollTo(0, 0)")


def steer_by_feature(page: Page, studio: Studio) -> None:
    row = _strong_feature(studio)
    feature = f"{row['source']}/{row['index']}"
    query = {"p": PROMPT, "f": f"{feature},set,{row['max']:.1f},generation", "n": 60, "c": feature}
    page.goto(f"/steer?{urlencode(query | {'stop': 'zz', 'bias': '300:-4: he'})}")
    page.locator("mfn-stream-pane[name=steered][data-state=done]").wait_for(timeout=60_000)
    page.locator(".steer-settings summary").click()
    page.locator("mfn-stream-pane[name=steered] [data-step='2']").click()
    page.locator("mfn-token-detail .hit").first.wait_for()


def steer_history(page: Page, studio: Studio) -> None:
    steer_by_feature(page, studio)
    page.get_by_role("button", name="Close").click()
    page.locator("mfn-run-history summary").click()
    page.locator("mfn-run-history").scroll_into_view_if_needed()


def steer_refused(page: Page, studio: Studio) -> None:
    page.goto("/steer?f=nonsense&t=warm")
    page.get_by_label("Prompt", exact=True).fill("A long way home. " * 400)
    page.get_by_role("button", name="Generate").click()
    page.locator(".notice.is-error").nth(1).wait_for()


def steer_prediction(page: Page, studio: Studio) -> None:
    _effect(page, studio, "Predict and measure", ".effect-verdict")


def steer_sweep(page: Page, studio: Studio) -> None:
    _effect(page, studio, "Sweep strengths", "mfn-effect-plot svg.main-svg")


def steer_spot(page: Page, studio: Studio) -> None:
    _effect(page, studio, "Find a good strength", ".effect-form")
    page.get_by_role("button", name="Search", exact=True).click()
    page.locator("mfn-effect-plot svg.main-svg").first.wait_for(timeout=60_000)


def _effect(page: Page, studio: Studio, button: str, result: str) -> None:
    """The section below the texts, for a feature of the last layer at a moderate strength."""
    row = _strong_feature(studio)
    page.goto(f"/steer?p={PROMPT.replace(' ', '+')}&f={row['source']}/{row['index']},set,6,generation&n=24")
    page.locator("mfn-stream-pane[name=steered][data-state=done]").wait_for(timeout=60_000)
    page.get_by_role("button", name=button).click()
    page.locator(result).first.wait_for(timeout=60_000)
    page.wait_for_load_state("networkidle")
    page.locator(".effect-head").scroll_into_view_if_needed()
    page.locator(".effect").evaluate("element => scrollTo(0, element.getBoundingClientRect().top + scrollY - 60)")


def feature_named(page: Page, studio: Studio) -> None:
    row = studio.get("/api/features?label=moment&layer=3&limit=1")["items"][0]
    page.goto(f"/feature/{row['source']}/{row['index']}?try=" + TEXT.replace(" ", "+"))
    page.locator(".try-result mark").first.wait_for()
    page.locator(".logit-shape svg").wait_for(timeout=60_000)  # right after the start it is still worked out
    _drawn(page)


def feature_turned(page: Page, studio: Studio) -> None:
    page.goto(_feature_path(studio) + "?turn=2&prompt=" + PROMPT.replace(" ", "+"))
    page.locator(".turn-note", has_text="part at token").wait_for(timeout=60_000)
    page.get_by_role("button", name="Dose and response").click()
    page.locator("dose-response svg.main-svg").first.wait_for(timeout=60_000)
    _drawn(page)


def feature_full(page: Page, studio: Studio) -> None:
    page.goto(_feature_path(studio) + "?view=full")
    page.locator(".context-whole").first.wait_for()
    page.locator(".bands-section").scroll_into_view_if_needed()


def feature_names(page: Page, studio: Studio) -> None:
    page.goto(_feature_path(studio))
    page.get_by_role("button", name="Name it").or_(page.get_by_role("button", name="Names")).first.click()
    _drawn(page)


def feature_dead(page: Page, studio: Studio) -> None:
    row = studio.get("/api/features?status=dead&limit=1")["items"][0]
    page.goto(f"/feature/{row['source']}/{row['index']}")
    page.get_by_text("Never fired").wait_for()


def feature_loading(page: Page, studio: Studio) -> None:
    page.route("**/api/features/**", lambda route: None)  # never answered
    page.goto(_feature_path(studio))
    page.locator(".skeleton").first.wait_for()
    page.wait_for_timeout(600)


def feature_error(page: Page, studio: Studio) -> None:
    page.route("**/api/features/**", lambda route: route.fulfill(status=500, json={"error": ERROR}))
    page.goto(_feature_path(studio))
    page.locator("state-view[kind=error]").wait_for()


def offline(page: Page, studio: Studio) -> None:
    page.goto(_feature_path(studio))
    _drawn(page)
    page.context.set_offline(True)
    page.get_by_role("tab", name="Turn it").click()
    page.get_by_text("The server does not answer. Trying again").wait_for()


def compare(page: Page, studio: Studio) -> None:
    row = studio.get("/api/features?layer=3&min_rate=0.001&max_rate=0.02&limit=1")["items"][0]
    others = studio.get(f"/api/features/{row['source']}/{row['index']}")
    keys = [row["index"], others["neighbours"][0]["index"], others["cofiring"][0]["index"]]
    page.goto("/compare?" + "&".join(f"f={row['source']}:{index}" for index in keys))
    page.locator(".cosine-meter").first.wait_for()


def compare_empty(page: Page, studio: Studio) -> None:
    page.goto("/compare")
    page.locator("state-view").wait_for()


CAMPAIGN = uuid.UUID(int=7)
RUN = uuid.UUID(int=8)
SAID = 4  # opinions that are there already


def label(page: Page, studio: Studio) -> None:
    _campaign(studio)
    page.goto("/label")
    page.locator(".campaign").wait_for()


def label_queue(page: Page, studio: Studio) -> None:
    _campaign(studio)
    page.goto(f"/label/{CAMPAIGN}")
    page.locator("queue-work[data-item] .contexts mark").first.wait_for()
    _drawn(page)


def label_review(page: Page, studio: Studio) -> None:
    _campaign(studio)
    page.goto(f"/label/{CAMPAIGN}/review")
    page.locator("queue-review[data-item] .contexts mark").first.wait_for()


def label_new(page: Page, studio: Studio) -> None:
    rows = studio.get("/api/features?limit=3")["items"]
    page.goto("/label/new?" + "&".join(f"f={row['source']}:{row['index']}" for row in rows))
    page.locator("queue-form form").wait_for()


def agreement(page: Page, studio: Studio) -> None:
    page.goto("/agreement")
    page.locator(".agreement-table td").first.wait_for()


def _campaign(studio: Studio) -> None:
    """Opened once, with the opinions of somebody who agrees with the names that came with the model."""
    rows = studio.get("/api/features?sort=telling&limit=12")["items"]
    these = {"kind": "list", "features": [{"source": row["source"], "index": row["index"]} for row in rows]}
    words = "Look at the contexts first. Name what they share, not the token."
    terms = {"name": "The most telling features", "opinions": 1, "blind": False, "instructions": words}
    path = f"/api/campaigns/{CAMPAIGN}"
    if studio.post("/api/campaigns", {"id": str(CAMPAIGN), **terms, "features": these})["progress"]["mine"]:
        return
    for n in range(SAID):
        lease = str(uuid.UUID(int=n))
        item = studio.post(f"{path}/next", {"lease": lease})["item"]
        name = studio.get(f"/api/features/{item['source']}/{item['index']}")["label"]
        given = {"id": str(uuid.uuid4()), "source": item["source"], "index": item["index"], "text": name}
        studio.post(f"{path}/opinions", {**given, "confidence": "high", "one_concept": "yes"})


def label_runs(page: Page, studio: Studio) -> None:
    row = studio.get("/api/features?sort=telling&limit=1")["items"][0]
    these = [{"source": row["source"], "index": row["index"]}]
    studio.post("/api/labels/runs", {"id": str(RUN), "kind": "suggest", "features": these})
    page.goto("/label/runs")
    page.locator(f'[data-run="{RUN}"][data-state=done]').wait_for()


def evidence(page: Page, studio: Studio) -> None:
    page.goto("/evidence")
    page.locator(".evidence-known dl").wait_for()


def settings(page: Page, studio: Studio) -> None:
    page.goto("/settings")
    page.locator(".settings-facts").wait_for()


def palette(page: Page, studio: Studio) -> None:
    page.goto("/browse")
    page.locator(".feature-row").first.wait_for()
    page.keyboard.press("Control+k")
    page.keyboard.type("snow")
    page.get_by_role("group", name="Features").get_by_role("option").nth(3).wait_for()


def palette_empty(page: Page, studio: Studio) -> None:
    page.goto("/")
    page.locator("h1").wait_for()
    page.keyboard.press("Control+k")
    page.get_by_role("option").first.wait_for()


def shortcuts(page: Page, studio: Studio) -> None:
    page.goto(_feature_path(studio))
    page.locator(".contexts-section mark").first.wait_for()
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()


def menu(page: Page, studio: Studio) -> None:
    page.goto("/")
    page.locator("h1").wait_for()
    button = page.get_by_role("button", name="Menu")
    if button.is_visible():
        button.click()


def missing(page: Page, studio: Studio) -> None:
    page.goto("/no/such/page")
    page.locator("state-view").wait_for()


SHOTS: list[Shot] = [
    home,
    browse,
    browse_preview,
    browse_empty,
    map_layers,
    map_labels,
    map_lasso,
    feature,
    feature_named,
    feature_turned,
    feature_full,
    feature_names,
    feature_dead,
    feature_loading,
    feature_error,
    offline,
    compare,
    compare_empty,
    inspect,
    inspect_empty,
    inspect_compare,
    inspect_refused,
    steer_first_run,
    steer,
    steer_preset,
    steer_by_feature,
    steer_history,
    steer_refused,
    steer_prediction,
    steer_sweep,
    steer_spot,
    label,
    label_queue,
    label_review,
    label_new,
    label_runs,
    agreement,
    evidence,
    settings,
    palette,
    palette_empty,
    shortcuts,
    menu,
    missing,
]
WRITING: tuple[Shot, ...] = (label, label_queue, label_review, label_runs)
"""What these show is not on every server: they write it themselves."""

README: dict[str, tuple[Shot, Scheme]] = {
    "browse.png": (browse_preview, "light"),
    "feature.png": (feature_named, "light"),
    "steer.png": (steer_preset, "light"),
    "map.png": (map_layers, "dark"),
    "label.png": (label_queue, "light"),
}


def main() -> None:
    """Reads the arguments and takes all screenshots."""
    parser = argparse.ArgumentParser(description="Writes screenshots of every page.")
    parser.add_argument("folder", type=Path, help="where to write them")
    parser.add_argument("--url", help="a running MFN Studio; without it the demo is started")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=None, help="take these pages alone")
    parser.add_argument("--readme", action="store_true", help="take what README shows, by the names that it has there")
    given = parser.parse_args()
    executable = chromium()
    if executable is None:
        raise SystemExit("there is no Chromium on this machine (Debian: apt-get install chromium)")
    given.folder.mkdir(parents=True, exist_ok=True)
    with _studio(given.url) as studio, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
        taken = (
            take_for_readme(browser, studio, given.folder)
            if given.readme
            else take(browser, studio, given.folder, given.only, writes=given.url is None)
        )
        for path in taken:
            print(path)


def take(
    browser: Browser, studio: Studio, folder: Path, only: list[str] | None = None, *, writes: bool
) -> Iterator[Path]:
    """Takes every page, or those named `only`, in every size and scheme, into PAGE-SIZE-SCHEME.png.

    `writes`: whether the server may be written to, which some of them take.
    """
    for size, viewport in SIZES.items():
        for scheme in SCHEMES:
            phone = size == "phone"
            context = browser.new_context(
                base_url=studio.url, viewport=viewport, color_scheme=scheme, has_touch=phone, is_mobile=phone
            )
            page = context.new_page()
            for shot in SHOTS:
                name = shot.__name__.replace("_", "-")
                if (only is not None and name not in only) or (shot in WRITING and not writes):
                    continue
                context.set_offline(False)
                page.unroute_all(behavior="ignoreErrors")
                shot(page, studio)
                path = folder / f"{name}-{size}-{scheme}.png"
                page.screenshot(path=path)
                yield path
            context.close()


def take_for_readme(browser: Browser, studio: Studio, folder: Path) -> Iterator[Path]:
    """Takes what README shows, for the desktop."""
    for name, (shot, scheme) in README.items():
        context = browser.new_context(base_url=studio.url, viewport=SIZES["desktop"], color_scheme=scheme)
        page = context.new_page()
        shot(page, studio)
        page.screenshot(path=folder / name)
        yield folder / name
        context.close()


@contextmanager
def _studio(url: str | None) -> Iterator[Studio]:
    if url is not None:
        yield Studio(url.rstrip("/"))
        return
    with tempfile.TemporaryDirectory() as home_folder, serve("demo", home=Path(home_folder)) as studio:
        yield studio


def _strong_feature(studio: Studio) -> dict[str, object]:
    layer = studio.get("/api/model")["sources"][-1]["layer"]
    row: dict[str, object] = studio.get(f"/api/features?layer={layer}&sort=max&limit=1")["items"][0]
    return row


def _feature_path(studio: Studio) -> str:
    row = studio.get("/api/features?layer=1&min_rate=0.001&max_rate=0.02&limit=1")["items"][0]
    return f"/feature/{row['source']}/{row['index']}"


if __name__ == "__main__":
    main()
