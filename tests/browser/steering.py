"""The Steer page, as tests of it say it: where it is, what it shows, and when it has written."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, Page, expect

PROMPT = "The ship left the harbour"

LONG = "200"  # tokens: enough for something to be done meanwhile

TURN_UP = """
  const slider = document.querySelector("mfn-intervention-editor input[type=range]");
  slider.value = slider.max;
  for (const name of ["input", "change"]) slider.dispatchEvent(new Event(name, { bubbles: true }))
"""

STOP = """[...document.querySelectorAll("button")].find((button) => button.textContent === "Stop").click()"""


def steer_url(feature: dict[str, Any], value: float | None = None, **settings: str) -> str:
    turned = f"{feature['source']}/{feature['index']}" + ("" if value is None else f",set,{value}")
    extra = "".join(f"&{name}={setting}" for name, setting in settings.items())
    return f"/steer?p={PROMPT.replace(' ', '+')}&f={turned}{extra}"


def stream(page: Page, name: str) -> Locator:
    return page.locator(f"mfn-stream-pane[name={name}]")


def tokens(page: Page, name: str) -> Locator:
    return stream(page, name).locator("[data-step]")


def text_of(page: Page, name: str) -> str:
    return "".join(tokens(page, name).all_text_contents())


def wait_until_written(page: Page) -> None:
    """Until what was asked for has been written, and the page knows it as its last run."""
    for name in ("plain", "steered"):
        expect(stream(page, name)).to_have_attribute("data-state", "done")
    # From a click on it to the end it says "Stop", while the texts of before may still be there.
    expect(page.get_by_role("button", name="Generate", exact=True)).to_be_visible()


def when_written(page: Page, count: int, act: str) -> int:
    """Has the page do something, a statement, once so many steered tokens are there, and says how many there were.

    Not after a way to the test and back, in which a quick model may have written all the rest.
    """
    written: int = page.evaluate(f"""() => new Promise((done) => {{
      const look = () => {{
        const pane = document.querySelector("[name=steered][data-state=writing]");
        const written = pane?.querySelectorAll("[data-step]").length ?? 0;
        if (written < {count}) return requestAnimationFrame(look);
        {act};
        done(written);
      }};
      look();
    }})""")
    return written


def generated_text(page: Page, url: str) -> dict[str, str]:
    page.goto(url)
    wait_until_written(page)
    return {name: text_of(page, name) for name in ("plain", "steered")}


def copied(page: Page, button: str, said: str) -> str:
    page.get_by_role("button", name=button).click()
    expect(page.get_by_text(said).last).to_be_visible()
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text
