"""The Feature page as somebody uses it who leafs, turns and compares; and how tokens that are no words are shown."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from .conftest import NewPage, Watch
from .held import FRAMES, Held
from .studio import Studio

PHONE = {"width": 360, "height": 740}

# WCAG 2: contrast of a mark's text with what is painted behind it, for every heat.
CONTRASTS = """
() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const over = (colour, ground) => {
    context.fillStyle = ground; context.fillRect(0, 0, 1, 1);
    context.fillStyle = colour; context.fillRect(0, 0, 1, 1);
    const [r, g, b] = context.getImageData(0, 0, 1, 1).data;
    return `rgb(${r} ${g} ${b})`;
  };
  const light = (colour) => {
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = colour.match(/\\d+/g).map((part) => linear(part / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const list = document.querySelector(".contexts");
  const ground = getComputedStyle(list).backgroundColor;
  const strip = document.createElement("span");
  strip.className = "strip";
  list.firstElementChild.append(strip);
  return Array.from({ length: 10 }, (_, level) => {
    const mark = document.createElement("mark");
    mark.dataset.heat = level + 1;
    mark.textContent = "x";
    strip.append(mark);
    const style = getComputedStyle(mark);
    const [a, b] = [light(over(style.color, ground)), light(over(style.backgroundColor, ground))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  });
}
"""


@pytest.fixture(scope="module")
def feature(studio: Studio) -> dict[str, Any]:
    """One that fires often, of the middle layer."""
    row: dict[str, Any] = studio.get("/api/features?layer=1&limit=1")["items"][0]
    facts: dict[str, Any] = studio.get(f"/api/features/{row['source']}/{row['index']}")
    return facts


def path_of(feature: dict[str, Any]) -> str:
    return f"/feature/{feature['source']}/{feature['index']}"


def test_the_first_screen_says_what_it_is(new_page: NewPage, feature: dict[str, Any]) -> None:
    page = new_page(viewport={"width": 1280, "height": 800})
    page.goto(path_of(feature))
    expect(page.locator("activation-histogram rect").first).to_be_attached()
    parts = {
        "name": page.get_by_role("heading", level=1),
        "rate": page.locator(".stats").get_by_text("of tokens"),
        "promoted": page.locator(".feature-tokens dd .token").first,
        "histogram": page.locator("activation-histogram .plot"),
        "contexts": page.locator(".contexts .context").nth(5),
        "a promoted logit": page.locator("table.is-up tbody tr").first,
    }
    for name, part in parts.items():
        box = part.bounding_box()
        assert box is not None, name
        assert box["y"] + box["height"] <= 800, f"{name} is below the first screen"


def test_leafing_by_keyboard_keeps_view_and_text(page: Page, studio: Studio, feature: dict[str, Any]) -> None:
    following = studio.get(f"/api/features/{feature['source']}/{feature['next']}")
    page.goto(f"{path_of(feature)}?view=full&try=snow")
    expect(page.locator(".try-result")).to_contain_text("snow")
    page.keyboard.press("j")
    expect(page).to_have_url(re.compile(rf"{path_of(following)}\?view=full&try=snow"))
    expect(page.locator(".crumbs")).to_contain_text(f"· {following['index']}")
    expect(page.locator(".context-whole").first).to_be_visible()
    page.keyboard.press("[")
    expect(page).to_have_url(re.compile(path_of(feature)))
    page.keyboard.press("v")
    expect(page).not_to_have_url(re.compile("view="))
    expect(page.locator(".context-whole")).to_have_count(0)


def test_values_are_told_to_pointer_and_keyboard(page: Page, feature: dict[str, Any]) -> None:
    context = feature["contexts"][0]
    page.goto(path_of(feature))
    tip = page.locator(".value-tip")
    page.locator(".contexts mark.peak").first.hover()
    expect(tip).to_contain_text(f"{context['peak_value']:.2f}")
    expect(tip).to_contain_text("strongest here")
    page.mouse.move(0, 0)
    expect(tip).to_be_hidden()
    page.locator(".context-toggle").first.focus()
    page.keyboard.press("ArrowRight")
    expect(tip).to_be_visible()
    expect(page.locator("#announcer")).to_have_text(" ".join(tip.inner_text().split()))
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()


# Where the histogram's bars and its mark are on the screen: left, right and height, as shares of the area they are in.
DRAWN = """() => {
  const area = document.querySelector("activation-histogram .histogram-bars").getBoundingClientRect();
  const along = (x) => (x - area.left) / area.width;
  const bars = [...document.querySelectorAll("activation-histogram rect")].map((bar) => {
    const { left, right, height } = bar.getBoundingClientRect();
    return [along(left), along(right), height / area.height];
  });
  return { bars, mark: along(document.querySelector(".histogram-tried").getBoundingClientRect().left) };
}"""


def test_the_histogram_shows_the_counts_and_marks_what_was_tried(
    page: Page, studio: Studio, feature: dict[str, Any]
) -> None:
    edges, counts = feature["histogram"]["edges"], feature["histogram"]["counts"]
    full = [i for i, count in enumerate(counts) if count]
    edges, counts = edges[full[0] : full[-1] + 2], counts[full[0] : full[-1] + 1]

    def along(value: float) -> float:
        return math.log(value / edges[0]) / math.log(edges[-1] / edges[0])

    text = "".join(feature["contexts"][0]["tokens"])
    page.goto(path_of(feature))
    plot = page.locator("activation-histogram .plot")
    expect(plot.locator("rect")).to_have_count(len(counts))
    for (left, right, height), low, high, count in zip(
        page.evaluate(DRAWN)["bars"], edges[:-1], edges[1:], counts, strict=True
    ):
        assert [left, right] == pytest.approx([along(low), along(high)], abs=0.005)
        assert height == pytest.approx(count / max(counts), abs=0.02)
    mark = plot.get_by_text("your text")
    expect(mark).to_be_hidden()
    most = counts.index(max(counts))
    box = plot.locator("rect").nth(most).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(plot.locator(".histogram-tip")).to_have_text(re.compile(f": {max(counts):,}$"))
    page.get_by_role("textbox", name=re.compile("Type a text")).fill(text)
    page.keyboard.press("Enter")
    expect(mark).to_be_visible()
    tried = studio.post(f"/api/features/{feature['source']}/{feature['index']}/activations", {"text": text})
    assert page.evaluate(DRAWN)["mark"] == pytest.approx(along(max(tried["values"])), abs=0.01)


def test_what_it_promotes_and_suppresses_stands_where_it_says(page: Page, feature: dict[str, Any]) -> None:
    page.goto(path_of(feature))
    for table, logits in (("is-up", feature["promoted"]), ("is-down", feature["suppressed"])):
        shown = page.locator(f"table.{table} tbody tr").first.locator(".bar")
        expect(shown).to_be_visible()
        assert float(shown.inner_text().replace("−", "-")) == pytest.approx(logits[0]["logit"], abs=0.006)


def test_an_answer_that_comes_too_late_is_not_shown(page: Page, studio: Studio, feature: dict[str, Any]) -> None:
    """Of the feature that was left, and of the text that was tried before."""
    late = Held(page, f"**/api/features/{feature['source']}/{feature['next']}")
    page.goto(path_of(feature))
    expect(page.locator(".contexts mark").first).to_be_visible()
    late.wait()  # it is fetched ahead
    page.keyboard.press("]")
    expect(page).to_have_url(re.compile(f"/{feature['next']}$"))
    page.go_back()
    crumbs = page.locator(".crumbs")
    expect(crumbs).to_contain_text(f"· {feature['index']}")
    with page.expect_response(re.compile(f"/{feature['next']}$")):
        late.let_go()
    page.evaluate(FRAMES)
    expect(crumbs).to_contain_text(f"· {feature['index']}")
    expect(page.locator(".is-loading")).to_have_count(0)

    answers = Held(page, "**/activations")
    field = page.get_by_role("textbox", name=re.compile("Type a text"))
    field.fill("snow")
    page.keyboard.press("Enter")
    answers.wait()
    field.fill("harbour harbour")
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/activations")):  # it is given up
        page.keyboard.press("Enter")
    answers.wait(2)
    answers.let_go()
    expect(page.locator(".try-result")).to_contain_text("harbour harbour")


def test_folded_contexts_are_counted(page: Page, feature: dict[str, Any]) -> None:
    page.goto(path_of(feature))
    rows = page.locator(".contexts-section .context")
    expect(rows.first).to_be_visible()
    counts = [int(tag[1:]) for tag in rows.locator(".tag").all_inner_texts()]
    shown, every = rows.count(), len(feature["contexts"])
    assert shown - len(counts) + sum(counts) == every, "what is folded is counted"
    assert counts, "the corpus says everything more than once"
    expect(page.locator(".contexts-folded")).to_have_text(f"{shown} different ones of {every}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_shaded_text_keeps_its_contrast(new_page: NewPage, feature: dict[str, Any], scheme: str) -> None:
    page = new_page(color_scheme=scheme)
    page.goto(path_of(feature))
    expect(page.locator(".contexts mark").first).to_be_visible()
    contrasts = page.evaluate(CONTRASTS)
    assert min(contrasts) >= 4.5, contrasts


def test_turning_it_here(page: Page, feature: dict[str, Any]) -> None:
    page.goto(path_of(feature))
    expect(page.get_by_role("tab", name="Try a text")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("u")
    prompt = page.get_by_role("textbox", name="The text that it begins with")
    expect(prompt).to_be_focused()
    expect(page).to_have_url(re.compile("turn=1"))
    note = page.locator(".turn-note")
    expect(note).to_contain_text(re.compile("part at token|came out the same"))
    prompt.fill("The snow fell")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"prompt=The\+snow\+fell"))
    slider = page.get_by_role("slider")
    slider.focus()
    page.keyboard.press("End")
    expect(page).to_have_url(re.compile("turn=3"))
    expect(note).to_contain_text("The texts part at token")
    plain, turned = (page.locator(".turn-text").nth(number) for number in (0, 1))
    written = turned.inner_text()
    assert written != plain.inner_text()
    assert page.locator(".turn-text ins").count() == 1
    page.reload()
    expect(note).to_contain_text("The texts part at token")
    assert turned.inner_text() == written, "the address holds all of it"
    page.get_by_role("button", name="Dose and response").click()
    expect(page.locator("dose-response svg.main-svg").first).to_be_visible()
    tried = page.locator("dose-response tbody tr")
    page.locator("dose-response summary").click()
    expect(tried.first).to_be_visible()
    expect(page.locator(".sweep-head")).to_contain_text(f"{tried.count()} strengths were tried")
    page.keyboard.press("j")
    expect(tried).to_have_count(0)  # it was of another feature
    page.keyboard.press("k")
    page.get_by_role("link", name="Open on Steer").click()
    expect(page).to_have_url(re.compile(r"/steer\?p=The\+snow\+fell&f=" + feature["source"]))


def test_comparing_features(page: Page, studio: Studio, watch: Watch, feature: dict[str, Any]) -> None:
    watch.allowed.append("404")  # the last one asks for a feature that is not there
    other = studio.get("/api/features?layer=2&limit=1")["items"][0]
    asked = [f"{feature['source']}:{feature['index']}", f"{other['source']}:{other['index']}"]
    cosines = studio.get(f"/api/cosines?f={asked[0]}&f={asked[1]}")["cosines"]
    page.goto(f"/compare?f={asked[0]}&f={asked[1]}&f=nonsense")
    expect(page.get_by_text("“nonsense” in the address is no feature")).to_be_visible()
    cards = page.locator(".compare-card")
    expect(cards).to_have_count(2)
    pair = page.locator(".compare-pairs tbody tr")
    expect(pair).to_contain_text(f"{abs(cosines[0][1]):.2f}" if abs(cosines[0][1]) >= 0.1 else re.compile(r"0\.0\d"))
    expect(pair).to_contain_text("not counted between layers")
    picker = page.get_by_role("combobox", name="Add a feature")
    picker.fill(f"1/{feature['next']}")
    expect(page.locator("mfn-feature-picker").get_by_role("option").first).to_contain_text(f"· {feature['next']}")
    picker.press("Enter")
    expect(cards).to_have_count(3)
    expect(pair).to_have_count(3)
    expect(page).to_have_url(re.compile(rf"f={feature['source']}:{feature['next']}$"))
    page.get_by_role("button", name=re.compile("Take L2")).click()
    expect(cards).to_have_count(2)
    page.go_back()
    expect(cards).to_have_count(3)
    page.get_by_role("link", name="Steer all").click()
    expect(page).to_have_url(re.compile(rf"/steer\?f={feature['source']}/{feature['index']}&f="))
    page.goto("/compare")
    expect(page.get_by_text("Choose two features or more")).to_be_visible()
    page.goto(f"/compare?f={asked[0]}&f={feature['source']}:99999")
    expect(page.locator(".compare-card").nth(1)).to_contain_text("There is no such feature")


def test_comparing_on_a_phone_scrolls_the_cards_alone(new_page: NewPage, feature: dict[str, Any]) -> None:
    page = new_page(viewport=PHONE, has_touch=True, is_mobile=True)
    source = feature["source"]
    page.goto(
        f"/compare?f={source}:{feature['index']}&f={source}:{feature['next']}&f={source}:{feature['previous'] or 0}"
    )
    expect(page.locator(".compare-card")).to_have_count(3)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert page.evaluate(
        "(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)(document.querySelector('.compare-cards'))"
    )


PIECES = """async ([text, spaces]) => {
  const { pieces } = await import("/assets/lib/tokens.js");
  return pieces(text, { spaces }).map(({ kind, text, name }) => `${kind} ${name ?? text}`);
}"""
CHIP = """async (text) => {
  const { tokenChip } = await import("/assets/components/token-chip.js");
  const chip = tokenChip(text);
  document.body.append(chip);
  const found = [chip.textContent, chip.getBoundingClientRect().width];
  chip.remove();
  return found;
}"""
STRIP = """async ([tokens, values]) => {
  const { tokenStrip } = await import("/assets/components/token-strip.js");
  return tokenStrip(tokens, values).textContent;
}"""
SCORE = """async ([query, text]) => (await import("/assets/lib/fuzzy.js")).fuzzyScore(query, text)"""


def test_what_tokens_are_made_of(page: Page) -> None:
    page.goto("/settings")
    cases = {
        "a\r\nb\tc": ["text a", "break \r\n", "text b", "tab \t", "text c"],
        "x\u202ey": ["text x", "control U+202E", "text y"],
        "a\u00a0b": ["text a", "blank U+00A0", "text b"],
        "⟨e2 98⟩": ["bytes ⟨e2 98⟩"],
        "<|endoftext|>": ["special <|endoftext|>"],
        "👩‍👧 🏳️‍🌈": ["text 👩‍👧 🏳️‍🌈"],  # their joiners are part of what is seen
        "می\u200cخواهم": ["text می\u200cخواهم"],
    }
    for text, expected in cases.items():
        assert page.evaluate(PIECES, [text, False]) == expected, text
    assert page.evaluate(PIECES, [" a b", True]) == ["space  ", "text a", "space  ", "text b"]
    assert page.evaluate(CHIP, "\u0301")[0] == "◌\u0301"
    assert page.evaluate(CHIP, "  ")[0] == "␣␣"
    assert page.evaluate(CHIP, "\u200d")[0] == "U+200D"
    assert page.evaluate(CHIP, "W" * 500)[1] < 300, "a very long token keeps to its chip"
    tokens = ["A", "\u202e", "\n", "⟨e2⟩", "⟨98⟩", "⟨83⟩", " ש", "\t"]
    shown = page.evaluate(STRIP, [tokens, [1, 0, 2, 0, 1, 0, 1, 0]])
    assert shown == "A\u202e\n☃ ש\t", "copying copies the truth"


SHADES = """async () => {
  const { heatLevel } = await import("/assets/components/token-strip.js");
  return [0, 0.01, 1, 1.01, 5, 5.01, 9.99, 10, 11, -3].map((value) => heatLevel(value, 10));
}"""


def test_shades_are_tenths_of_the_maximum_and_what_fires_at_all_has_one(page: Page) -> None:
    page.goto("/settings")
    assert page.evaluate(SHADES) == [0, 1, 1, 2, 5, 6, 10, 10, 10, 0]


def test_letters_are_found_in_order(page: Page) -> None:
    page.goto("/settings")
    assert page.evaluate(SCORE, ["zq", "Go to Browse"]) is None
    begins, within = (page.evaluate(SCORE, ["bro", text]) for text in ("Go to Browse", "abrod"))
    assert begins > within > 0
    assert page.evaluate(SCORE, ["browse go", "Go to Browse"]) is not None
