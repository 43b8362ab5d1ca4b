"""A real Chromium on the real app. Every page a test opens is watched: see `Watch`."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from filelock import FileLock
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    expect,
    sync_playwright,
)

from .material import write_bundle, write_corpus, write_dashboards
from .studio import CHROMIUM_FLAGS, Studio, chromium, index, serve

HERE = Path(__file__).parent
PATIENCE_MS = 40_000  # for a machine that does much else; nothing here measures speed
BUILT_WITHIN_S = 300.0
expect.set_options(timeout=PATIENCE_MS)

REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) => {
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`);
});
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if os.environ.get("CI") == "true":
                item.add_marker(pytest.mark.flaky(reruns=1))  # CONTRIBUTING.md says why


@pytest.fixture(scope="session")
def executable() -> str:
    """Chromium's path. Whoever depends on it is skipped where there is none, before any work is done."""
    found = chromium()
    if found is None:
        message = "there is no Chromium on this machine (Debian: apt-get install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found


# Not for the whole session: while Playwright runs, its event loop is that of the thread, and tests elsewhere that bring
# their own could not run after these in one process.
@pytest.fixture(scope="package")
def browser(executable: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def original(executable: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random model, `bundle`, and its index of a small corpus full of markup, `studio.sqlite3`.

    It is made once for all processes of a run of the tests (pytest-xdist), so whoever writes to it takes a copy.
    """
    folder = tmp_path_factory.getbasetemp()
    shared = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "original"
    with FileLock(f"{shared}.lock", timeout=BUILT_WITHIN_S):
        if not shared.exists():
            made = Path(tempfile.mkdtemp(dir=shared.parent))
            index(write_bundle(made / "bundle"), write_corpus(made / "corpus.jsonl"), made / "studio.sqlite3")
            made.rename(shared)  # nobody sees half of it
    return shared


@pytest.fixture(scope="session")
def indexed(original: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The bundle and the database that all modules share."""
    own = shutil.copytree(original, tmp_path_factory.mktemp("own") / "studio")
    return own / "bundle", own / "studio.sqlite3"


@pytest.fixture(scope="package")
def studio(indexed: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """The app on it, with dashboards from elsewhere. All modules share it: what one writes, the next one sees."""
    bundle, database = indexed
    dashboards = write_dashboards(tmp_path_factory.mktemp("elsewhere") / "dashboards")
    arguments = ("serve", str(bundle), "--db", str(database), "--dashboards", str(dashboards))
    with serve(*arguments, home=database.parent) as studio:
        yield studio


@pytest.fixture(scope="package")
def feature(studio: Studio) -> dict[str, Any]:
    """The strongest feature of the last layer: turned up, it shows."""
    layer = studio.get("/api/model")["sources"][-1]["layer"]
    row: dict[str, Any] = studio.get(f"/api/features?sort=max&limit=1&layer={layer}")["items"][0]
    return row


class Watch:
    """What must never happen on any page: an error on the console, a refusal by the content security policy, a request
    to another host, markup out of somebody's text that came alive. `allowed` are parts of expected console messages."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.allowed: list[str] = []
        self._host = urlsplit(url).netloc
        self._found: list[str] = []
        self._refused: list[str] = []  # the console does not say what was asked
        self._context = context
        context.on("console", self._console)
        context.on("weberror", lambda error: self._found.append(f"uncaught: {error.error}"))
        context.on("request", self._request)
        context.on("response", self._response)
        context.add_init_script(REPORT_VIOLATIONS)

    def problems(self) -> list[str]:
        alive = [page for page in self._context.pages if page.evaluate("window.hacked") is not None]
        hacked = [f"markup came alive on {page.url}" for page in alive]
        found = [line for line in self._found if not any(part in line for part in self.allowed)] + hacked
        return found + self._refused if found else []

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._found.append(f"console {message.type}: {message.text}")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            asked = response.request
            self._refused.append(f"{response.status} {asked.method} {asked.url} {(asked.post_data or '')[:2000]}")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != self._host:
            self._found.append(f"request to another host: {request.url}")


NewPage = Callable[..., Page]


@pytest.fixture
def watched(browser: Browser, studio: Studio) -> Iterator[tuple[NewPage, list[Watch]]]:
    contexts: list[BrowserContext] = []
    watches: list[Watch] = []

    def new_page(**options: Any) -> Page:
        options.setdefault("viewport", {"width": 1280, "height": 860})
        context = browser.new_context(base_url=studio.url, **options)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        watches.append(Watch(context, studio.url))
        return context.new_page()

    yield new_page, watches
    problems = [problem for watch in watches for problem in watch.problems()]
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def new_page(watched: tuple[NewPage, list[Watch]]) -> NewPage:
    """Opens a page in a fresh context; takes Playwright's context options."""
    return watched[0]


@pytest.fixture
def page(new_page: NewPage) -> Page:
    return new_page(permissions=["clipboard-read", "clipboard-write"])


@pytest.fixture
def watch(page: Page, watched: tuple[NewPage, list[Watch]]) -> Watch:
    """The watch over `page`."""
    return watched[1][0]
