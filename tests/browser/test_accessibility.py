"""WCAG 2.2 AA beyond what holds on every page: motion, contrast of shades, flows with the keyboard alone."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from .conftest import NewPage
from .everywhere import THEMES
from .studio import Studio

# Contrast of text on each shade, as WCAG 2.2 defines it; shades are painted on a canvas, which knows what they come to.
CONTRASTS = """
() => {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const painted = (...colours) => {
    context.clearRect(0, 0, 1, 1);
    for (const colour of colours) {
      context.fillStyle = colour;
      context.fillRect(0, 0, 1, 1);
    }
    return context.getImageData(0, 0, 1, 1).data;
  };
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const ground = (e) => {
    const colours = [];
    for (let at = e; at; at = at.parentElement) colours.unshift(getComputedStyle(at).backgroundColor);
    return colours;
  };
  const contrast = (e) => {
    const back = ground(e);
    const [a, b] = [light(painted(...back)), light(painted(...back, getComputedStyle(e).color))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const found = {};
  const place = document.createElement("div");
  for (const [kind, levels, wrap] of [["mark", 10, "strip"], ["spot", 4, "stream-text"]]) {
    const text = document.createElement("div");
    text.className = wrap;
    for (let level = 1; level <= levels; level++) {
      const shaded = document.createElement(kind === "mark" ? "mark" : "span");
      shaded.className = kind === "mark" ? "" : "spot";
      shaded.dataset[kind === "mark" ? "heat" : "shade"] = level;
      shaded.textContent = "text";
      text.append(shaded);
    }
    place.append(text);
  }
  document.querySelector(".stream-body").append(place);
  for (const e of place.querySelectorAll("mark, .spot")) {
    found[`${e.localName} ${e.dataset.heat ?? e.dataset.shade}`] = contrast(e);
  }
  place.remove();
  return found;
}
"""


WRITING = "mfn-stream-pane[data-state=writing] .spot.is-prompt:not(.is-special)"


def test_who_wants_less_motion_gets_none(new_page: NewPage, studio: Studio) -> None:
    page = new_page(reduced_motion="reduce")
    row = studio.get("/api/features?sort=max&limit=1")["items"][0]
    page.goto(f"/steer?p=The+snow&f={row['source']}/{row['index']},set,2&n=400")
    lasting = "document.getAnimations().filter((a) => a.effect.getComputedTiming().activeDuration > 20).length"
    found = page.wait_for_function(f"() => document.querySelector({WRITING!r}) && {{ lasting: {lasting} }}")
    assert found.json_value() == {"lasting": 0}  # both are of one moment: it may be written a moment later
    moving = new_page(reduced_motion="no-preference")
    moving.goto(f"/steer?p=The+snow&f={row['source']}/{row['index']},set,2&n=400")
    moving.wait_for_function(f"() => document.querySelector({WRITING!r}) && {lasting} > 0")


def test_shaded_text_can_be_read(new_page: NewPage, studio: Studio) -> None:
    page = new_page()
    page.goto("/steer")
    page.locator(".stream .stream-body").first.wait_for()
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        contrasts = page.evaluate(CONTRASTS)
        assert len(contrasts) == 14
        assert {shade: round(ratio, 2) for shade, ratio in contrasts.items() if ratio < 4.5} == {}, theme


def test_steering_by_keyboard_alone(page: Page, studio: Studio) -> None:
    page.goto("/steer")
    expect(page.get_by_role("button", name="Generate", exact=True)).to_be_visible()
    page.keyboard.press("a")  # the search for a feature
    page.keyboard.type("snow")
    expect(page.locator("mfn-feature-picker").get_by_role("option").first).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("mfn-intervention-editor")).to_have_count(1)
    page.get_by_label("Prompt", exact=True).focus()
    page.keyboard.type("The snow")
    page.keyboard.press("Control+Enter")
    steered = page.locator("mfn-stream-pane[name=steered]")
    expect(steered).to_have_attribute("data-state", "done")
    slider = page.get_by_role("slider")
    value = slider.input_value()
    slider.focus()
    with page.expect_response("**/api/generate"):  # what it moved is written anew
        page.keyboard.press("ArrowUp")
    expect(slider).not_to_have_value(value)
    expect(steered).to_have_attribute("data-state", "done")
    expect(page.get_by_role("button", name="Generate", exact=True)).to_be_visible()
    steered.locator("[tabindex='0']").focus()
    for key in ("End", "ArrowLeft", "Enter"):
        page.keyboard.press(key)
    detail = page.locator("mfn-token-detail")
    expect(detail).to_contain_text("Steered, token")
    page.keyboard.press("Escape")
    expect(detail).to_contain_text("Point at a token")


def test_two_texts_are_compared_by_keyboard_alone(page: Page) -> None:
    page.goto("/inspect")
    page.get_by_label("Text", exact=True).focus()
    page.keyboard.type("The snow fell.")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Compare with another text")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="Second text")).to_be_focused()
    page.keyboard.type("The rain fell.")
    page.keyboard.press("Control+Enter")
    strips = page.locator("mfn-heat-strip")
    expect(strips.nth(1).locator(".heat-token").first).to_be_visible()
    strips.nth(1).locator("[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("mfn-inspect-token").nth(1)).to_contain_text("Second text, token 1")
