"""What stands around every page: palette, shortcuts, settings, banner, the way from page to page."""

from __future__ import annotations

import os
import re
import signal
import socket
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from .conftest import NewPage, Watch
from .held import Held
from .material import HOSTILE
from .studio import Studio, serve

PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def named(studio: Studio) -> dict[str, Any]:
    """A feature whose name is markup."""
    row: dict[str, Any] = studio.get("/api/features?limit=5&sort=mean")["items"][4]
    body = {"id": "5f0cbb1c-4d8a-4a35-9f35-1a2b3c4d5e70", "event": {"kind": "propose", "text": f"zebra {HOSTILE}"}}
    studio.post(f"/api/features/{row['source']}/{row['index']}/events", body)
    return row


def test_the_palette_goes_to_a_feature_by_its_number(page: Page, named: dict[str, Any]) -> None:
    page.goto("/inspect")
    page.get_by_role("textbox").first.fill("half a text")
    page.keyboard.press("Control+k")  # also from within a field
    field = page.get_by_role("combobox", name="Go to a feature")
    expect(field).to_be_focused()
    for asked in (f"{named['layer']}/{named['index']}", f"{named['source']}/{named['index']}"):
        field.fill(asked)
        first = page.get_by_role("option").first
        expect(first).to_contain_text(f"L{named['layer']} · {named['index']}")
        expect(first).to_have_attribute("aria-selected", "true")
        expect(field).to_have_attribute("aria-activedescendant", str(first.get_attribute("id")))
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("textbox").first).to_be_focused()
    expect(page.get_by_role("textbox").first).to_have_value("half a text")
    page.keyboard.press("Control+k")
    page.keyboard.type(f"{named['layer']}/{named['index']}")
    page.keyboard.press("Enter")  # right after typing: it waits for what was asked
    expect(page).to_have_url(re.compile(f"/feature/{named['source']}/{named['index']}$"))
    expect(page.locator("#main")).to_be_focused()


def test_the_palette_finds_what_is_named_and_shows_it_as_text(page: Page, named: dict[str, Any]) -> None:
    page.goto("/evidence")
    page.keyboard.press("/")
    page.keyboard.type("zebra")
    option = page.get_by_role("option", name=re.compile("zebra <img")).first
    expect(option).to_be_visible()
    assert page.locator("dialog img, dialog script").count() == 0
    groups = page.get_by_role("listbox").get_by_role("group")
    expect(groups.first).to_have_accessible_name("Features")
    page.keyboard.press("ArrowUp")  # round the end
    expect(page.get_by_role("option").last).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("option").last).to_contain_text("Inspect the text “zebra”")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/browse\?q=zebra"))
    page.locator(".feature-row").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("zebra")
    page.keyboard.press("Control+k")
    expect(page.get_by_role("group", name="Seen lately").get_by_role("option").first).to_contain_text("zebra <img")
    assert page.locator("dialog img, dialog script").count() == 0


def test_names_and_prompts_that_are_markup_are_text_where_features_are_compared_and_turned(
    page: Page, named: dict[str, Any]
) -> None:
    page.goto(f"/compare?f={named['source']}:{named['index']}&f={named['source']}:{(named['index'] + 1) % 160}")
    expect(page.locator(".compare-name").first).to_contain_text("zebra <img")
    page.goto(f"/feature/{named['source']}/{named['index']}?turn=2")
    page.get_by_role("textbox", name="The text that it begins with").fill(HOSTILE)
    page.keyboard.press("Enter")
    expect(page.locator(".turn-text").first).to_contain_text("<img src=x")
    expect(page.locator(".turn-note")).to_contain_text(re.compile("part at token|came out the same"))
    assert page.locator("main img, main script").count() == 0


def test_the_palette_acts(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("/")
    page.keyboard.type("lghtdrk")  # some letters of it, in order
    expect(page.get_by_role("option").first).to_contain_text("Switch between light and dark")
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.keyboard.press("Control+k")
    page.keyboard.type("copy link")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("clipboard")
    assert page.evaluate("navigator.clipboard.readText()") == page.url
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox", name="Go to a feature")).to_be_focused()
    page.keyboard.type("evid")
    expect(page.get_by_role("option").first).to_contain_text("Evidence")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/evidence$"))
    page.keyboard.press("?")
    shown = page.get_by_role("dialog")
    expect(shown).to_contain_text("Go to Settings")
    expect(shown.locator("dt", has_text="Ctrl").first).to_be_visible()


def test_an_enter_that_comes_before_the_results_acts_on_them(page: Page, named: dict[str, Any]) -> None:
    """Typed as fast as it comes, while the palette's code, then what it asks the server for, is not there yet."""
    feature = re.compile(f"/feature/{named['source']}/{named['index']}$")
    code = Held(page, "**/command-palette.js")
    page.goto("/settings")
    page.keyboard.press("Control+k")
    page.keyboard.type("evid")
    page.keyboard.press("Enter")
    code.wait()
    expect(page.get_by_role("dialog")).to_be_visible()
    code.let_go()
    expect(page).to_have_url(re.compile("/evidence$"))

    features = Held(page, re.compile(r"/api/features\?.*q="))
    field = page.get_by_role("combobox", name="Go to a feature")
    page.keyboard.press("Control+k")
    page.keyboard.type("zebra")
    features.wait()
    page.keyboard.press("Enter")  # the field has settled, its results have not come
    expect(page.get_by_role("dialog").get_by_role("status")).to_have_text("Searching…")
    with page.expect_event("requestfailed", lambda request: "/api/features?" in request.url):
        page.keyboard.type("s")  # and this takes it back: what was asked is given up
    features.wait(2)
    features.let_go()
    expect(page.get_by_role("option")).to_have_count(2)  # nothing is called zebras: to search, and to inspect
    expect(field).to_have_value("zebras")
    page.keyboard.press("Backspace")
    features.wait()
    page.keyboard.press("Enter")
    page.keyboard.press("Control+k")  # for whoever it is done already: it is not taken back
    expect(page.get_by_role("dialog").get_by_role("status")).to_have_text("Searching…")
    features.let_go()
    expect(page).to_have_url(feature)

    page.keyboard.press("Control+k")
    page.keyboard.type("sett")  # no feature is named like this, so nothing that could come changes what is first
    features.wait()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/settings$"))
    features.let_go()


# Keys as they come faster than the browser paints: all of them before the next frame. The browser itself does that when
# the machine is slow.
IN_ONE_FRAME = """
(keys) => {
  for (const key of keys) {
    const [, held, name] = /^(Control\\+)?(.+)$/.exec(key);
    const event = new KeyboardEvent("keydown", { key: name, ctrlKey: Boolean(held), bubbles: true, cancelable: true });
    document.activeElement.dispatchEvent(event);
  }
  return [document.querySelectorAll("dialog").length, document.activeElement.getAttribute("role")];
}
"""


def test_keys_right_after_the_palette_has_closed_are_not_lost(page: Page) -> None:
    page.goto("/")
    expect(page.locator("main .facts")).to_be_visible()  # the model is known, so an Enter acts at once
    field = page.get_by_role("combobox", name="Go to a feature")
    link = page.get_by_role("option", name="Copy the link")
    for closes in ("Enter", "Escape", "Control+k"):
        page.keyboard.press("Control+k")
        page.keyboard.type("copy")
        expect(link).to_have_attribute("aria-selected", "true")
        assert page.evaluate(IN_ONE_FRAME, [closes, "Control+k"]) == [1, "combobox"], f"Ctrl+K after {closes} is lost"
        expect(field).to_have_value("")
        page.keyboard.type("copy")
        expect(link).to_have_attribute("aria-selected", "true")
        assert page.evaluate(IN_ONE_FRAME, [closes, "g", "e"])[0] == 0, f"it is open after {closes}"
        expect(page).to_have_url(re.compile("/evidence$"))  # and not into the field that was closed
        page.go_back()
        expect(page).to_have_url(re.compile("/$"))


def test_settings_are_kept_and_hold_everywhere(page: Page) -> None:
    page.goto("/settings")
    expect(page.locator(".settings-facts")).to_contain_text("torch")
    sample = page.locator(".settings-sample")
    expect(sample.locator(".control")).to_have_attribute("data-name", "U+202E")
    expect(sample.locator(".bytes")).to_have_text("⟨e2 98⟩")
    expect(sample.locator(".space")).to_have_count(0)
    page.get_by_label("Spaces, too").check(force=True)
    expect(sample.locator(".space")).not_to_have_count(0)
    assert "harbour was  quiet" in sample.inner_text().replace("\n", " "), "signs stand beside the text, not in it"
    page.get_by_label("Compact").check(force=True)
    page.get_by_role("group", name="Theme").get_by_label("Dark").check(force=True)
    page.get_by_role("group", name="Motion").get_by_label("Little").check(force=True)
    page.reload()
    root = page.locator("html")
    for name, value in (("theme", "dark"), ("density", "compact"), ("motion", "reduced")):
        expect(root).to_have_attribute(f"data-{name}", value)
    expect(page.get_by_label("Compact")).to_be_checked()
    page.get_by_label("Browse begins with").select_option("max")
    page.goto("/browse")
    expect(page).to_have_url(re.compile(r"/browse\?sort=max$"))  # for whoever gets the link
    expect(page.get_by_role("columnheader", name="Max")).to_have_attribute("aria-sort", "descending")
    page.go_back()
    page.get_by_role("button", name="Back to how it was").click()
    expect(page.get_by_label("Comfortable")).to_be_checked()
    assert page.evaluate("document.documentElement.dataset.density") is None
    page.evaluate("localStorage.setItem('mfn-settings', '{\"theme\": 7}')")
    page.reload()  # what nobody here wrote is no harm
    expect(page.get_by_role("group", name="Theme").get_by_label("As the system")).to_be_checked()


def test_evidence_says_that_nothing_was_measured(page: Page) -> None:
    page.goto("/evidence")
    expect(page.get_by_text("Nothing has been measured of this model yet")).to_be_visible()
    expect(page.get_by_role("article")).to_have_count(5)
    expect(page.locator(".verdict-mark")).to_have_text(["open"] * 5)
    expect(page.get_by_text("card gives no figures")).to_be_visible()  # nor does the test model's


def test_a_phone_reaches_every_page(new_page: NewPage) -> None:
    page = new_page(viewport=PHONE, has_touch=True, is_mobile=True)
    page.goto("/")
    for name in ("Home", "Browse", "Map", "Inspect", "Steer", "Evidence", "Settings"):
        page.get_by_role("button", name="Menu").click()
        menu = page.get_by_role("navigation", name="Menu")
        menu.get_by_role("link", name=name, exact=True).click()
        expect(page).to_have_url(re.compile("/$" if name == "Home" else f"/{name.lower()}"))
        expect(menu).to_be_hidden()
    page.get_by_role("button", name="Search or act").click()
    expect(page.get_by_role("combobox", name="Go to a feature")).to_be_focused()


def test_going_from_page_to_page_moves_focus_title_and_what_is_said(page: Page) -> None:
    page.goto("/evidence")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Inspect").click()
    expect(page).to_have_title(re.compile("^Inspect"))
    expect(page.locator("#main")).to_be_focused()
    expect(page.locator("#announcer")).to_have_text("Inspect")
    page.go_back()
    expect(page).to_have_title(re.compile("^Evidence"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Evidence")


def test_a_new_page_begins_at_its_top_and_the_way_back_leads_to_where_one_was(page: Page, studio: Studio) -> None:
    row = studio.get("/api/features?limit=1")["items"][0]
    page.goto(f"/feature/{row['source']}/{row['index']}")
    page.locator(".band").first.wait_for()
    page.evaluate("scrollTo(0, 400)")
    page.wait_for_function("() => history.state?.scroll === 400")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Evidence").click()
    page.locator(".verdict-mark").first.wait_for()
    assert page.evaluate("[scrollY, document.documentElement.scrollHeight > innerHeight + 200]") == [0, True]
    page.go_back()
    page.wait_for_function("() => scrollY === 400")


def test_what_is_not_served_is_told_at_once(page: Page, watch: Watch) -> None:
    """Not only when the server's health is asked for, which no clock does here."""
    watch.allowed.extend(["ERR_", "Failed to load"])
    page.clock.install()
    page.goto("/inspect?text=snow")
    expect(page.locator(".heat-token").first).to_be_visible()
    page.clock.pause_at(datetime.now() + timedelta(hours=1))
    page.route("**/api/**", lambda route: route.abort("connectionrefused"))
    page.get_by_role("button", name="Inspect").click()
    expect(page.locator(".banner")).to_contain_text("The server does not answer")


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_pages_fade_only_for_who_wants_motion(new_page: NewPage, motion: str) -> None:
    page = new_page(reduced_motion=motion)
    page.add_init_script("""
      const start = document.startViewTransition.bind(document);
      window.faded = 0;
      document.startViewTransition = (change) => { window.faded += 1; return start(change); };
    """)
    page.goto("/evidence")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Inspect").click()
    expect(page.locator("inspect-page")).to_be_visible()
    assert page.evaluate("window.faded") == (1 if motion == "no-preference" else 0)
    expect(page.locator("html[data-changing]")).to_have_count(0)


def test_what_could_not_be_read_is_read_when_the_server_is_back(page: Page, watch: Watch) -> None:
    watch.allowed.append("ERR_FAILED")
    page.route("**/api/**", lambda route: route.abort())
    page.goto("/label")
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    page.unroute_all()
    expect(page.get_by_role("heading", level=1, name="Label")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def model_process(pid: int) -> int:
    """The process that holds the model: of all below the server that have no children, the one with most memory."""

    def ends(parent: int) -> list[int]:
        threads = Path(f"/proc/{parent}/task").iterdir()
        children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
        return [end for child in children for end in ends(child)] or [parent]

    return max(ends(pid), key=lambda end: int(Path(f"/proc/{end}/statm").read_text().split()[1]))


PATIENT_MS = 120_000  # a server has to start, and to load torch
# What the banner says from now on; and the page looks at the server often, not every 20 s as while all is well.
LISTEN = """() => {
  window.said = [];
  window.looking ??= setInterval(() => dispatchEvent(new Event("online")), 50);
  const banner = document.querySelector(".banner");
  new MutationObserver(() => window.said.push(banner.textContent)).observe(banner, { childList: true });
}"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the model's process is found in Linux' /proc")
def test_a_server_that_dies_and_comes_back_under_the_page(
    indexed: tuple[Path, Path], page: Page, watch: Watch, studio: Studio
) -> None:
    """Killed, not stopped; the page notices, keeps what was typed, and goes on when there is a server again."""
    watch.allowed.extend(["ERR_", "Failed to load", "503", "request to another host"])  # it has a port of its own
    bundle, database = indexed
    port = free_port()
    arguments = ("serve", str(bundle), "--db", str(database))
    row = studio.get("/api/features?limit=1")["items"][0]
    url = f"http://127.0.0.1:{port}"
    banner = page.locator(".banner")
    with serve(*arguments, home=database.parent, port=port) as first:
        page.goto(f"{url}/feature/{row['source']}/{row['index']}")
        expect(page.get_by_role("heading", name="Strongest contexts")).to_be_visible()
        page.get_by_role("textbox", name=re.compile("Type a text")).fill("typed and not asked")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.get_by_role("button", name=re.compile("Name it|Names")).click()
        page.get_by_label("Name", exact=True).fill("a name half ")
        page.locator(".context-toggle").nth(1).click()
        assert first.pid is not None
        page.evaluate(LISTEN)
        os.kill(model_process(first.pid), signal.SIGKILL)
        expect(banner).to_contain_text("The server answers again", timeout=PATIENT_MS)  # once the model is back, too
        assert "The model is started again" in page.evaluate("window.said")[0]
        expect(banner).to_be_empty()
        os.kill(first.pid, signal.SIGKILL)
    page.get_by_role("button", name="Try", exact=True).click()
    expect(banner).to_contain_text("The server does not answer")
    page.evaluate(LISTEN)
    with serve(*arguments, home=database.parent, port=port):
        expect(banner).to_be_empty(timeout=PATIENT_MS)
        assert "The server answers again." in page.evaluate("window.said")
        expect(page.get_by_role("textbox", name=re.compile("Type a text"))).to_have_value("typed and not asked")
        expect(page.get_by_label("Name", exact=True)).to_have_value("a name half ")
        page.get_by_role("button", name="Try", exact=True).click()
        expect(page.locator(".try-result")).to_contain_text("typed and not asked")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Evidence").click()
    expect(page.get_by_text("This page could not be loaded")).to_be_visible()
    with serve(*arguments, home=database.parent, port=port):
        expect(page.get_by_role("heading", level=1, name="Evidence")).to_be_visible(timeout=PATIENT_MS)
