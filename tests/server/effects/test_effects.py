"""Effects over HTTP are those of the core, with names; what is wrong is said before any work is done."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from mfn_core import Intervention, MFNModel, Ramp, Scope
from mfn_core.steering import Budget, SpotOrder, TokensConcept, at_dose, dose_response, predict, search_spot
from mfn_core.writing import Writing
from mfn_server.effects.desk import EffectDesk
from mfn_server.effects.translation import bodies_at
from mfn_server.errors import APIError
from mfn_server.intervention_bodies import InterventionBody

PROMPT = "The ship left the harbour"


@pytest.fixture(scope="module")
def sources(bare_client: TestClient) -> list[str]:
    return [source["key"] for source in bare_client.get("/api/model").json()["sources"]]


@pytest.fixture
def turned(sources: list[str]) -> list[dict[str, Any]]:
    return [{"source": sources[1], "index": 7, "mode": "set", "value": 6.0, "scope": {"kind": "generation"}}]


TURN = Intervention(1, 7, "set", 6.0, Scope("generation"))


def test_a_prediction_is_the_cores_with_texts(
    bare_client: TestClient, tiny_model: MFNModel, sources: list[str], turned: list[dict[str, Any]]
) -> None:
    body = {"prompt": PROMPT, "interventions": turned, "tokens": [" E ", 70], "top": 4, "side_effects": 3}
    answer = bare_client.post("/api/effect/predict", json=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    found = predict(tiny_model, tiny_model.encode_text(PROMPT), [TURN])
    assert told["kl"] == pytest.approx(found.kl, rel=1e-3)
    assert told["position"] == len(told["prompt_tokens"]) - 1
    assert [t["id"] for t in told["raised"]] == [t.token for t in found.raised(4)]
    assert [t["measured"] for t in told["gained"]] == pytest.approx([t.measured for t in found.gained(4)], abs=1e-3)
    assert told["agreement"]["spearman"] == pytest.approx(found.agreement.spearman, abs=1e-3)
    assert told["agreement"]["agrees"] is found.agreement.agrees
    *named, numbered = told["followed"]
    assert numbered["id"] == 70
    assert named
    assert all(token["text"].strip().casefold() == "e" for token in named)
    assert len(told["shares"]) == 1
    assert told["shares"][0]["raised"][0][2] == pytest.approx(told["raised"][0]["predicted"])
    assert told["method"] == "first_order"
    for method in ("path", "secant"):
        other = bare_client.post("/api/effect/predict", json={**body, "method": method}).json()
        mine = predict(tiny_model, tiny_model.encode_text(PROMPT), [TURN], method=method)
        assert other["method"] == method
        assert [t["predicted"] for t in other["raised"]] == pytest.approx(
            [t.predicted for t in mine.raised(4)], abs=1e-3
        )
        # The turned layer is the last: nothing after it picks features, so that secants are what tangents are.
        moved = [t["predicted"] for t in other["raised"]] != [t["predicted"] for t in told["raised"]]
        assert moved is (method == "path")
    effects = told["side_effects"]
    assert effects["changed"] == found.side_effects.changed
    assert {feature["source"] for feature in effects["features"]} <= set(sources)


def test_a_sweep_is_the_cores(bare_client: TestClient, tiny_model: MFNModel, turned: list[dict[str, Any]]) -> None:
    body = {
        "prompt": PROMPT,
        "interventions": turned,
        "doses": [1.0, 30.0],
        "max_new_tokens": 6,
        "temperature": 1.0,
        "samples": 2,
    }
    answer = bare_client.post("/api/effect/sweep", json=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    found = dose_response(tiny_model, PROMPT, [TURN], [1.0, 30.0], writing=Writing(6, 1.0), samples=2)
    assert [t["id"] for t in told["tokens"]] == list(found.tokens)
    assert told["swept"] == 0
    for point, mine in zip(told["points"], found.points, strict=True):
        assert mine.written is not None
        assert point["kl"] == pytest.approx(mine.kl, rel=1e-3, abs=1e-6)
        assert point["written"]["texts"] == list(mine.written.texts)
        assert point["written"]["perplexity"] == pytest.approx(mine.written.perplexity, rel=1e-3)
    nothing = bare_client.post("/api/effect/sweep", json={**body, "max_new_tokens": 0}).json()
    assert nothing["plain_written"] is None
    assert nothing["points"][0]["written"] is None


def test_a_search_is_the_cores_and_the_same_again(
    bare_client: TestClient, tiny_model: MFNModel, turned: list[dict[str, Any]]
) -> None:
    strong = tiny_model.generate(PROMPT, [Intervention(1, 7, "set", 40.0, Scope("generation"))], 3)
    wanted = tiny_model.encode_text(strong)[1]
    body = {
        "prompts": [PROMPT],
        "interventions": turned,
        "concept": {"kind": "tokens", "tokens": [wanted]},
        "budget": {"perplexity": 1000.0, "repetition": 1.0},
        "most": 40.0,
        "samples": 8,
        "max_new_tokens": 6,
        "temperatures": [1.0],
    }
    answer = bare_client.post("/api/effect/sweet-spot", json=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert bare_client.post("/api/effect/sweet-spot", json=body).json() == told
    found = search_spot(
        tiny_model,
        SpotOrder(
            (PROMPT,),
            (TURN,),
            TokensConcept(frozenset({wanted})),
            most=40.0,
            temperatures=(1.0,),
            budget=Budget(1000.0, 1.0),
            tokens=6,
        ),
    )
    assert told["optimised"] == found.optimised
    assert [trial["dose"] for trial in told["trials"]] == [trial.dose for trial in found.trials]
    assert [trial["concept"] for trial in told["trials"]] == pytest.approx([t.concept for t in found.trials])
    assert found.best is not None
    assert told["best"]["dose"] == found.best.dose
    assert told["interventions"][0]["value"] == found.best.dose
    assert told["checked"]["concept"] == pytest.approx(found.checked.concept if found.checked else None)


@pytest.mark.parametrize(
    "concept",
    [
        {"kind": "words", "words": ["Ship"], "at_least": 1},
        {"kind": "pattern", "pattern": "[a-z]"},
        {"kind": "features", "features": [{"source": 0, "index": 3}]},
        None,
    ],
)
def test_every_kind_of_concept_can_be_searched(
    bare_client: TestClient, sources: list[str], turned: list[dict[str, Any]], concept: dict[str, Any] | None
) -> None:
    for feature in (concept or {}).get("features", []):
        feature["source"] = sources[0]
    body = {"prompts": [PROMPT], "interventions": turned, "samples": 1, "max_new_tokens": 3, "temperatures": [0.0]}
    answer = bare_client.post("/api/effect/sweet-spot", json=body if concept is None else {**body, "concept": concept})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert len(told["trials"]) == 12
    assert told["most"] == pytest.approx(1.5 * 32**0.5, rel=1e-3)
    assert told["checked"] is None, "without noise there is nothing to check with"
    assert all(0 <= trial["concept"] <= 1 for trial in told["trials"])


@pytest.mark.parametrize(
    ("route", "change", "code", "field"),
    [
        ("predict", {"interventions": []}, "invalid_request", "interventions"),
        ("predict", {"tokens": ["no such token"]}, "unknown_token", "tokens.0"),
        ("predict", {"tokens": [300]}, "unknown_token", "tokens.0"),
        ("predict", {"position": 99}, "invalid_request", None),
        ("predict", {"prompt": "ship " * 100}, "text_too_long", "prompt"),
        ("sweep", {"doses": []}, "invalid_request", "doses"),
        ("sweep", {"doses": [-1.0]}, "invalid_intervention", None),
        ("sweep", {"swept": 3}, "invalid_request", None),
        ("sweep", {"max_new_tokens": 128}, "text_too_long", "max_new_tokens"),
        ("sweet-spot", {"concept": {"kind": "pattern", "pattern": "("}}, "invalid_request", "concept.pattern"),
        ("sweet-spot", {"concept": {"kind": "features", "features": [{"source": "x", "index": 0}]}}, "unknown_source",
         "concept.features.0.source"),
        ("sweet-spot", {"budget": {"perplexity": 0.5}}, "invalid_request", "budget.perplexity"),
        ("sweet-spot", {"prompts": [PROMPT] * 16, "samples": 16}, "invalid_request", None),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(
    bare_client: TestClient,
    turned: list[dict[str, Any]],
    route: str,
    change: dict[str, Any],
    code: str,
    field: str | None,
) -> None:
    begin: dict[str, Any] = {"prompts": [PROMPT]} if route == "sweet-spot" else {"prompt": PROMPT}
    answer = bare_client.post(f"/api/effect/{route}", json={**begin, "interventions": turned, **change})
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert error["code"] == code
    if field is not None:
        assert field.split(".")[0] in error["field"]


@pytest.mark.parametrize("swept", [None, 0, 2])
def test_bodies_at_a_dose_are_the_cores_interventions(swept: int | None) -> None:
    bodies = [
        InterventionBody(source="a", index=1, mode="set", value=2.0, ramp={"start": 1.0, "steps": 4}),
        InterventionBody(source="a", index=2, mode="ablate"),
        InterventionBody(source="a", index=3, mode="scale", value=4.0),
    ]
    turns = [
        Intervention(0, 1, "set", 2.0, ramp=Ramp(1.0, 4)),
        Intervention(0, 2, "ablate"),
        Intervention(0, 3, "scale", 4.0),
    ]
    found, expected = bodies_at(bodies, 0.5, swept), at_dose(turns, 0.5, swept)
    assert [(b.mode, b.value, b.ramp and b.ramp.start) for b in found] == [
        (t.mode, t.value, t.ramp and t.ramp.start) for t in expected
    ]


def test_no_more_than_so_many_at_once() -> None:
    desk = EffectDesk(most=1)
    with desk.place():
        with pytest.raises(APIError) as refused, desk.place():
            pass
        assert refused.value.status == 429
        assert refused.value.headers["Retry-After"] == "5"
    with desk.place():
        pass
