"""Steer and Inspect on a bundle that was never indexed, of raw neurons and an SAE."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from mfn_core import MFNConfig
from mfn_core.baselines import NeuronConfig, SAEConfig

from .conftest import PATIENCE_MS, Watch
from .material import WIDTH, write_bundle
from .studio import Studio, serve


@pytest.fixture(scope="module")
def outside(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("outside")
    codes = MFNConfig({0: NeuronConfig(WIDTH, k=20), 2: SAEConfig(160, "topk", k=8, site="resid_post")})
    bundle = write_bundle(folder / "bundle", codes)
    with serve("serve", str(bundle), "--db", str(folder / "db.sqlite3"), home=folder, indexed=False) as studio:
        yield studio


def test_a_neuron_is_turned_below_0_and_an_sae_is_not(browser: Browser, outside: Studio) -> None:
    neurons, sae = (source["key"] for source in outside.get("/api/model")["sources"])
    context = browser.new_context(base_url=outside.url, viewport={"width": 1280, "height": 860})
    context.set_default_timeout(PATIENCE_MS)
    watch = Watch(context, outside.url)
    watch.allowed.append("503")  # what the features are called, nobody knows without an index
    page = context.new_page()
    page.goto(f"/steer?p=The+ship&n=20&f={neurons}/7&f={sae}/11,set,0")
    text = "name => [...document.querySelectorAll(`[name=${name}] [data-step]`)].map(s => s.textContent).join('')"
    expect(page.locator("[name=steered]")).to_have_attribute("data-state", "done")
    neuron, other = page.locator("mfn-intervention-editor").all()
    expect(neuron).to_contain_text("Feature 7 of layer 0")
    expect(neuron.locator(".turn-error")).to_be_empty()
    expect(neuron.get_by_role("slider")).to_have_attribute("min", re.compile("^-"))
    expect(other.get_by_role("slider")).to_have_attribute("min", "0")
    other.get_by_role("spinbutton", name="Value, typed").fill("-1")
    expect(other.get_by_role("alert")).to_contain_text("cannot be negative")
    typed = neuron.get_by_role("spinbutton", name="Value, typed")
    with page.expect_response("**/api/generate"):
        typed.fill("-60")
        typed.press("Tab")
    expect(page).to_have_url(re.compile(r"/7,set,-60"))
    page.wait_for_function(f"() => ({text})('steered') !== ({text})('plain')")
    expect(page.locator("[name=steered]")).to_have_attribute("data-state", "done")
    page.locator("[name=steered] [data-step='3']").click()
    expect(page.locator("mfn-token-detail .watched")).to_contain_text("-60")

    search = page.get_by_role("combobox", name="Add a feature")
    search.fill("2/9")
    expect(page.locator("mfn-feature-picker").get_by_role("option")).to_contain_text("L2 · 9")
    search.press("Enter")
    expect(page.locator("mfn-intervention-editor")).to_have_count(3)

    page.goto("/inspect?t=2&text=The+ship+left")
    expect(page.locator(".inspect-layer").first).to_be_visible()
    assert watch.problems() == []
    context.close()
