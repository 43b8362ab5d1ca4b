"""A server with accounts, in browsers: in by an invitation, out, in again over work that goes on, and held off."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from .accessible import violations
from .conftest import NewPage, Watch
from .everywhere import ENLARGED, PHONE, THEMES, sticks_out
from .held import FRAMES, Held
from .studio import Studio, mfn, serve

PASSWORD = "seven grey geese over water"
BOB = "Bob <img src=x onerror='window.hacked = 1'>"


@pytest.fixture(scope="module")
def studio(original: Path, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """The app with accounts, and one admin; without an index, which nothing here needs."""
    home = tmp_path_factory.mktemp("team")
    database = str(home / "studio.sqlite3")
    command = mfn("users", "create-admin", "ann", "--db", database)
    subprocess.run(command, input=f"{PASSWORD}\n", text=True, check=True, capture_output=True)
    with serve("serve", str(original / "bundle"), "--accounts", "--db", database, home=home, indexed=False) as studio:
        yield studio


@pytest.fixture(autouse=True)
def refusals_are_meant(watched: tuple[NewPage, list[Watch]]) -> Iterator[None]:
    """The console tells of every status above 400; here some are what is looked for."""
    yield
    for watch in watched[1]:
        watch.allowed += [f"status of {status}" for status in (401, 403, 404, 422, 429)]


def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def account_of(page: Page, name: str) -> None:
    expect(page.get_by_role("link", name=f"{name}: your account")).to_be_visible()


def nothing_serious(page: Page) -> None:
    """In neither theme does axe find anything; and nothing sticks out, on a phone or at 200 %."""
    page.wait_for_load_state("networkidle")
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        assert violations(page) == []
    before = page.viewport_size
    assert before is not None
    for size in (PHONE, ENLARGED):
        page.set_viewport_size(size)
        assert sticks_out(page) is None
    page.set_viewport_size(before)


def test_from_an_invitation_to_too_many_tries(new_page: NewPage) -> None:
    ann = new_page()
    ann.goto("/people?show=invitations")
    expect(ann).to_have_url(re.compile(r"/login\?next=%2Fpeople%3Fshow%3Dinvitations$"))
    log_in(ann, "Ann", "wrong")
    expect(ann.get_by_role("alert")).to_have_text("Name or password is wrong.")
    nothing_serious(ann)
    log_in(ann, "Ann")
    expect(ann).to_have_url(re.compile(r"/people\?show=invitations$"))
    account_of(ann, "ann")
    ann.locator("select[name=role]").select_option("labeller")
    ann.get_by_label("For whom").fill("for bob")
    ann.get_by_role("button", name="Make a link").click()
    link = ann.locator(".shown-once-value").input_value()
    expect(ann.locator(".people-row")).to_contain_text("for bob")
    nothing_serious(ann)

    bob = new_page()
    bob.goto(link)
    expect(bob.get_by_text("You are invited as Labeller.")).to_be_visible()
    nothing_serious(bob)
    bob.get_by_label("Name").fill(BOB)
    bob.get_by_label("Password").fill("ababababababab")
    bob.get_by_role("button", name="Join").click()
    expect(bob.get_by_role("alert")).to_contain_text("too few characters")
    bob.get_by_label("Password").fill(PASSWORD)
    bob.get_by_role("button", name="Join").click()
    account_of(bob, BOB)
    expect(bob).to_have_url(re.compile(r":\d+/$"))

    again = new_page()
    again.goto(link)
    expect(again.get_by_text("This link does not work")).to_be_visible()

    # his login ends while he works: he is asked, and what he typed goes on
    bob.goto("/inspect")
    bob.get_by_label("Text", exact=True).fill("The hospital was quiet.")
    bob.context.clear_cookies()
    bob.get_by_role("button", name="Inspect").click()
    dialog = bob.get_by_role("dialog", name="Log in again")
    expect(dialog.get_by_label("Name")).to_have_value(BOB)
    expect(dialog.get_by_label("Password")).to_be_focused()
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_label("Password").press("Enter")
    expect(dialog).to_be_hidden()
    expect(bob.locator(".heat-token").first).to_be_visible()
    expect(bob.get_by_label("Text", exact=True)).to_have_value("The hospital was quiet.")

    # no admin: not even by address
    bob.goto("/people")
    expect(bob.get_by_text("A labeller may not do this.")).to_be_visible()
    bob.goto("/account")
    expect(bob.get_by_role("button", name="Log out")).to_be_visible()
    nothing_serious(bob)
    bob.get_by_role("button", name="Log out").click()
    expect(bob).to_have_url(re.compile(r"/login$"))
    expect(bob.get_by_role("link", name="Log in")).to_be_visible()
    for _ in range(10):
        log_in(bob, BOB, "wrong")
        expect(bob.get_by_role("alert")).to_have_text("Name or password is wrong.")
        expect(bob.get_by_role("button", name="Log in")).to_be_enabled()
    log_in(bob, BOB)
    expect(bob.get_by_role("alert")).to_contain_text(re.compile(r"Try again in \d+ minutes"))
    ann.get_by_role("link", name="Log", exact=True).click()
    expect(ann.locator("tbody tr").first).to_contain_text("was held off: too many tries")
    expect(ann.locator("tbody tr").first).to_contain_text(BOB)

    nothing_serious(ann)
    late = Held(ann, "**/api/admin/people")
    ann.get_by_role("link", name="People", exact=True).click()
    late.wait()
    ann.get_by_role("link", name="Log", exact=True).click()
    expect(ann.locator("tbody tr").first).to_contain_text("was held off")
    with ann.expect_response("**/api/admin/people"):
        late.let_go()
    ann.evaluate(FRAMES)
    expect(ann.locator("tbody tr").first).to_contain_text("was held off")  # what comes too late is not shown
    ann.unroute_all()
    ann.goto("/people")
    nothing_serious(ann)
    row = ann.locator(".people-row").filter(has_text="Bob")
    row.get_by_role("combobox").select_option("reviewer")
    expect(ann.get_by_text("is Reviewer now")).to_be_visible()
    ann.on("dialog", lambda dialog: dialog.accept())
    row.get_by_role("button", name="Put out of use").press("Enter")
    expect(row.get_by_role("button", name="Put back into use")).to_be_focused()  # the list is made anew under it


def test_a_token_is_shown_once_and_is_a_key_of_openais_api(new_page: NewPage) -> None:
    page = new_page()
    page.goto("/login?next=https://evil.example/")
    log_in(page, "ann")
    expect(page).to_have_url(re.compile(r"127\.0\.0\.1:\d+/$"))
    page.get_by_role("link", name="ann: your account").click()
    expect(page.locator(".people-row").first).to_contain_text("Chrome on Linux")
    page.locator("summary", has_text="Make a token").click()
    page.get_by_label("What for").fill("a script")
    page.get_by_label("Have the model compute").check()
    page.get_by_role("button", name="Make a token").click()
    token = page.locator(".shown-once-value").input_value()
    program = new_page().context.request
    for key, status in ((token, 200), (token[:-1], 401)):
        answer = program.get("/v1/models", headers={"Authorization": f"Bearer {key}"})
        assert answer.status == status
    page.reload()
    row = page.locator(".people-row").filter(has_text="a script")
    expect(row).to_contain_text(f"{token[:10]}…")
    assert token not in page.content()
    page.on("dialog", lambda dialog: dialog.accept())
    row.get_by_role("button", name="Revoke").click()
    expect(row).to_be_hidden()
    assert program.get("/v1/models", headers={"Authorization": f"Bearer {token}"}).status == 401
