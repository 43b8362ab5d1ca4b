"""Interventions on codes: their semantics one by one, and row by row in a batch."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from mfn_core import Condition, EditBuffers, Intervention, MFNModel, Ramp, Scope, SparseCodes
from mfn_core.errors import InterventionError
from mfn_core.interventions import Mode

N_FEATURES = 10


def codes(rows: int = 1) -> SparseCodes:
    """Tokens 0 and 1 of each row: features 3 (2.0) and 7 (0.5) fire, one slot is padding."""
    indices = torch.tensor([[[3, 7, 0], [3, 7, 0]]]).repeat(rows, 1, 1)
    values = torch.tensor([[[2.0, 0.5, 0.0], [2.0, 0.5, 0.0]]]).repeat(rows, 1, 1)
    return SparseCodes(indices, values, N_FEATURES)


def apply(*interventions: Intervention, prompt_length: int = 1, signed: bool = False) -> SparseCodes:
    buffers = EditBuffers.allocate({0: N_FEATURES}, rows=1, slots=4, signed=[0] if signed else [])
    buffers.write(0, interventions, prompt_length)
    return buffers.layers[0].apply(codes(), torch.arange(2)[None])


def act(mode: Mode, feature: int, value: float = 0.0, **more: object) -> Intervention:
    return Intervention(0, feature, mode, value, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mode", "feature", "value", "expected"),
    [
        ("set", 3, 5.0, 5.0),
        ("set", 4, 5.0, 5.0),  # joins: K is exceeded
        ("add", 3, -0.5, 1.5),
        ("add", 3, -9.0, 0.0),  # a ReLU code stays at least 0
        ("add", 4, 1.0, 1.0),
        ("scale", 3, 2.0, 4.0),
        ("scale", 4, 2.0, 0.0),  # did not fire: counts as 0
        ("ablate", 3, 0.0, 0.0),
        ("ablate", 4, 0.0, 0.0),
    ],
)
def test_modes(mode: Mode, feature: int, value: float, expected: float) -> None:
    got = apply(act(mode, feature, value))
    assert got.value_of(feature)[0].tolist() == [expected, expected]
    other = 7 if feature == 3 else 3
    assert got.value_of(other)[0].tolist() == codes().value_of(other)[0].tolist()


@pytest.mark.parametrize(
    ("mode", "feature", "value", "expected"),
    [
        ("set", 3, -5.0, -5.0),
        ("set", 4, -5.0, -5.0),
        ("add", 3, -9.0, -7.0),
        ("add", 4, -1.0, -1.0),
        ("scale", 3, -2.0, -4.0),
        ("scale", 4, -2.0, 0.0),
        ("ablate", 3, 0.0, 0.0),
    ],
)
def test_a_signed_code_goes_below_0(mode: Mode, feature: int, value: float, expected: float) -> None:
    assert apply(act(mode, feature, value), signed=True).value_of(feature)[0].tolist() == [expected, expected]


def test_they_act_in_list_order() -> None:
    assert apply(act("set", 4, 3.0), act("scale", 4, 2.0)).value_of(4)[0, 0] == 6.0
    assert apply(act("scale", 4, 2.0), act("set", 4, 3.0)).value_of(4)[0, 0] == 3.0
    assert apply(act("ablate", 3), act("add", 3, 1.5)).value_of(3)[0, 0] == 1.5
    got = apply(act("set", 4, 3.0), act("ablate", 4), act("add", 4, 1.0))
    assert got.dense()[0, 0, 4] == 1.0
    assert apply(act("add", 3, -9.0), act("add", 3, 9.0)).value_of(3)[0, 0] == 9.0  # 0 in between, not 2 in the end
    assert apply(act("add", 3, 9.0), act("add", 3, -9.0)).value_of(3)[0, 0] == 2.0


def test_scopes_of_one_feature_may_overlap() -> None:
    got = apply(
        act("set", 4, 3.0, scope=Scope("range", 1)), act("add", 4, 1.0), act("scale", 4, 2.0, scope=Scope("prompt"))
    )
    assert got.value_of(4)[0].tolist() == [2.0, 4.0]


def test_a_condition_reads_the_untouched_code() -> None:
    fires = apply(act("ablate", 7), act("set", 3, 9.0, condition=7))
    assert fires.value_of(3)[0, 0] == 9.0
    silent = apply(act("set", 5, 1.0), act("set", 3, 9.0, condition=5))
    assert silent.value_of(3)[0, 0] == 2.0


def test_scopes() -> None:
    for scope, expected in [
        (Scope("both"), [9.0, 9.0]),
        (Scope("prompt"), [9.0, 2.0]),
        (Scope("range", 1, 2), [2.0, 9.0]),
        (Scope("range", 1), [2.0, 9.0]),
    ]:
        assert apply(act("set", 3, 9.0, scope=scope)).value_of(3)[0].tolist() == expected, scope
    for scope, expected in [
        (Scope("generation"), [2.0, 9.0]),  # the last prompt token writes the first generated one
        (Scope("generation", 0, 1), [2.0, 9.0]),
        (Scope("generation", 1), [2.0, 2.0]),
    ]:
        two = apply(act("set", 3, 9.0, scope=scope), prompt_length=2)
        assert two.value_of(3)[0].tolist() == expected, scope
    assert Scope("generation", 2, 5).positions(7) == (8, 11)  # while the third to the fifth new token are written


@pytest.mark.parametrize(("mode", "value"), [("scale", 1.0), ("add", 0.0)])
@pytest.mark.parametrize("feature", [3, 4])
def test_what_changes_nothing_leaves_every_bit(mode: Mode, value: float, feature: int) -> None:
    directions = torch.randn(N_FEATURES, 8)
    assert torch.equal(apply(act(mode, feature, value)).decode(directions), codes().decode(directions))


def test_rows_never_see_each_other() -> None:
    buffers = EditBuffers.allocate({0: N_FEATURES}, rows=3, slots=4)
    buffers.write(0, [act("set", 3, 9.0), act("set", 4, 1.0)], 1)
    buffers.write(2, [act("ablate", 7)], 1)
    got = buffers.layers[0].apply(codes(3), torch.arange(2)[None])
    assert got.value_of(3)[:, 0].tolist() == [9.0, 2.0, 2.0]
    assert got.value_of(4)[:, 0].tolist() == [1.0, 0.0, 0.0]
    assert got.value_of(7)[:, 0].tolist() == [0.5, 0.5, 0.0]
    buffers.clear(0)
    buffers.clear(2)
    assert buffers.layers[0].used == 0
    assert buffers.layers[0].apply(codes(3), torch.arange(2)[None]).width == 3


def test_a_rewritten_row_forgets_what_it_had() -> None:
    buffers = EditBuffers.allocate({0: N_FEATURES}, rows=2, slots=4)
    buffers.write(0, [act("set", 3, 9.0), act("set", 4, 1.0, condition=7)], 1)
    buffers.write(1, [act("ablate", 7), act("ablate", 3)], 1)
    buffers.write(0, [act("scale", 7, 2.0)], 1)
    got = buffers.layers[0].apply(codes(2), torch.arange(2)[None])
    assert got.dense()[0, 0].tolist() == [0, 0, 0, 2.0, 0, 0, 0, 1.0, 0, 0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Intervention(0, 1, "set", math.nan),
        lambda: Intervention(0, 1, "add", math.inf),
        lambda: Intervention(0, 1, "add", 1e39),
        lambda: Intervention(0, 1.5, "ablate"),  # type: ignore[arg-type]
        lambda: Intervention(0, 1, "ablate", condition=0.5),  # type: ignore[arg-type]
        lambda: apply(act("set", 1, -1.0)),
        lambda: apply(act("scale", 1, -1.0)),
        lambda: Intervention(0, 1, "wiggle", 1.0),  # type: ignore[arg-type]
        lambda: Scope("range", 5, 5),
        lambda: Scope("range", -1, 5),
        lambda: Scope("generation", 3, 3),
        lambda: Scope("prompt", 0, 3),
        lambda: apply(act("set", N_FEATURES, 1.0)),
        lambda: apply(act("set", -1, 1.0)),
        lambda: apply(act("set", 1, 1.0, condition=N_FEATURES)),
        lambda: apply(Intervention(3, 1, "ablate")),
        lambda: apply(*[act("ablate", n) for n in range(5)]),
    ],
)
def test_what_cannot_be_done_is_refused(make: object) -> None:
    with pytest.raises(InterventionError):
        make()  # type: ignore[operator]


def test_a_refused_write_leaves_the_row_as_it_was() -> None:
    buffers = EditBuffers.allocate({0: N_FEATURES}, rows=1, slots=2)
    buffers.write(0, [act("set", 3, 9.0)], 1)
    with pytest.raises(InterventionError):
        buffers.write(0, [act("set", 3, 1.0), act("set", 99, 1.0)], 1)
    assert buffers.layers[0].apply(codes(), torch.arange(2)[None]).value_of(3)[0, 0] == 9.0


def test_edits_for_another_batch_are_refused() -> None:
    buffers = EditBuffers.allocate({0: N_FEATURES}, rows=2)
    buffers.write(1, [act("ablate", 3)], 1)
    with pytest.raises(ValueError, match="2 rows met a batch of 3"):
        buffers.layers[0].apply(codes(3), torch.arange(2)[None])


def test_a_model_without_features_takes_no_interventions() -> None:
    buffers = EditBuffers.allocate({}, rows=1)
    buffers.write(0, [], 1)
    with pytest.raises(InterventionError, match="equipped blocks: none"):
        buffers.write(0, [act("ablate", 3)], 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_codes_keep_their_type(dtype: torch.dtype) -> None:
    buffers = EditBuffers.allocate({0: N_FEATURES}, rows=1)
    buffers.write(0, [act("scale", 3, 1.0), act("set", 4, 1.5)], 1)
    narrow = SparseCodes(codes().indices, (codes().values / 3).to(dtype), N_FEATURES)
    got = buffers.layers[0].apply(narrow, torch.arange(2)[None])
    assert got.values.dtype == dtype
    assert torch.equal(got.values[..., :3], narrow.values)
    assert got.value_of(4)[0, 0] == 1.5


def test_the_example_of_the_reference() -> None:
    """docs/reference/interventions.md, "A worked example": the last token of a prompt of two."""
    listed = [
        act("ablate", 7),
        act("add", 4, 1.5, scope=Scope("generation")),
        act("scale", 3, 2.0, condition=7),
        act("set", 3, 9.0, condition=4),
        act("add", 3, -10.0, scope=Scope("range", 40, 50)),
        act("scale", 4, 2.0),
        act("set", 5, 1.0),
    ]
    buffers = EditBuffers.allocate({0: N_FEATURES}, rows=1)
    buffers.write(0, listed, prompt_length=2)
    got = buffers.layers[0].apply(codes(), torch.arange(2)[None])
    assert got.dense()[0, 1].tolist() == [0, 0, 0, 4.0, 3.0, 1.0, 0, 0, 0, 0]


def values_of(*interventions: Intervention, tokens: int, prompt_length: int, feature: int = 4) -> list[float]:
    """The strength of a feature that does not fire by itself, on each of so many tokens."""
    buffers = EditBuffers.allocate({0: N_FEATURES}, rows=1, dtype=torch.float64, signed=[0])
    buffers.write(0, interventions, prompt_length)
    silent = SparseCodes(torch.zeros(1, tokens, 1, dtype=torch.int64), torch.zeros(1, tokens, 1).double(), N_FEATURES)
    return buffers.layers[0].apply(silent, torch.arange(tokens)[None]).value_of(feature)[0].tolist()


def test_a_ramp_goes_from_one_value_to_the_other_and_holds() -> None:
    """The last token of the prompt (position 2), which writes the first new one, has the first value."""
    ramp = Ramp(1.0, 4)
    whole = act("set", 4, 9.0, ramp=ramp)
    assert values_of(whole, tokens=9, prompt_length=3) == [1, 1, 1, 3, 5, 7, 9, 9, 9]
    new = act("set", 4, 9.0, ramp=ramp, scope=Scope("generation"))
    assert values_of(new, tokens=9, prompt_length=3) == [0, 0, 1, 3, 5, 7, 9, 9, 9]
    later = act("set", 4, 9.0, ramp=ramp, scope=Scope("generation", 2, 5))
    assert values_of(later, tokens=9, prompt_length=3) == [0, 0, 0, 0, 1, 3, 5, 0, 0]
    within = act("set", 4, 9.0, ramp=ramp, scope=Scope("range", 1))
    assert values_of(within, tokens=9, prompt_length=3) == [0, 1, 3, 5, 7, 9, 9, 9, 9]
    at_once = act("set", 4, 9.0, ramp=Ramp(1.0, 1))
    assert values_of(at_once, tokens=5, prompt_length=3) == [1, 1, 1, 9, 9]
    down = act("add", 4, -1.0, ramp=Ramp(1.0, 4))
    assert values_of(down, tokens=8, prompt_length=1) == [1, 0.5, 0, -0.5, -1, -1, -1, -1]
    fade = act("scale", 4, 0.0, ramp=Ramp(1.0, 2))
    assert values_of(act("set", 4, 6.0), fade, tokens=5, prompt_length=2) == [6, 6, 3, 0, 0]


def test_the_end_of_a_ramp_is_its_value_to_the_last_bit() -> None:
    steps, first, last = 7, 100.1, 0.3  # first + (last - first) is not last
    got = values_of(act("set", 4, last, ramp=Ramp(first, steps)), tokens=12, prompt_length=1)
    assert (got[0], got[steps:]) == (first, [last] * 5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Ramp(1.0, 0),
        lambda: Ramp(math.nan, 3),
        lambda: Ramp(0.0, 1.5),  # type: ignore[arg-type]
        lambda: act("ablate", 3, ramp=Ramp(0.0, 3)),
        lambda: act("set", 3, 1.0, scope=Scope("prompt"), ramp=Ramp(0.0, 3)),
        lambda: act("add", 3, -3e38, ramp=Ramp(3e38, 3)),
        lambda: apply(act("set", 3, 1.0, ramp=Ramp(-1.0, 3))),
        lambda: Condition(1.5),  # type: ignore[arg-type]
        lambda: Condition(1, -0.5),
        lambda: Condition(1, math.inf),
        lambda: Condition(1, layer=0.5),  # type: ignore[arg-type]
        lambda: apply(act("set", 3, 1.0, condition=Condition(N_FEATURES))),
        lambda: apply(act("set", 3, 1.0, condition=Condition(1, layer=1))),
        lambda: apply(*[act("set", 3, 1.0, condition=Condition(1, 1.0 + n)) for n in range(5)]),
    ],
)
def test_ramps_and_conditions_that_mean_nothing_are_refused(make: object) -> None:
    with pytest.raises(InterventionError):
        make()  # type: ignore[operator]


def test_a_condition_may_ask_for_more_than_firing_and_ask_an_earlier_layer() -> None:
    assert apply(act("set", 5, 1.0, condition=Condition(3, 1.9))).value_of(5)[0, 0] == 1.0
    assert apply(act("set", 5, 1.0, condition=Condition(3, 2.0))).value_of(5)[0, 0] == 0.0
    with pytest.raises(InterventionError, match="layer 1 is not known yet when layer 0 is computed"):
        EditBuffers.allocate({0: 9, 1: 9}, rows=1).write(0, [act("set", 3, 1.0, condition=Condition(1, layer=1))], 1)
    buffers = EditBuffers.allocate({0: N_FEATURES, 2: N_FEATURES}, rows=1)
    turned = Intervention(2, 5, "set", 1.0, condition=Condition(7, 0.4, layer=0))
    buffers.write(0, [act("ablate", 7), turned], 1)  # asked is the untouched code: what layer 0 makes of 7 is no matter
    positions = torch.arange(2)[None]
    first = buffers.layers[0].apply(codes(), positions)
    assert first.value_of(7)[0].tolist() == [0.0, 0.0]
    assert buffers.layers[2].apply(codes(), positions).value_of(5)[0].tolist() == [1.0, 1.0]
    quiet = SparseCodes(codes().indices, codes().values * torch.tensor([1.0, 0.1, 1.0]), N_FEATURES)
    buffers.layers[0].apply(quiet, positions)
    assert buffers.layers[2].apply(codes(), positions).value_of(5)[0].tolist() == [0.0, 0.0]


def test_a_layer_that_is_asked_answers_though_nothing_of_it_passes_on(tiny_model: MFNModel) -> None:
    """With α = 0 a layer is passed by, and has no code unless somebody asks."""
    model = copy.deepcopy(tiny_model)
    model.mfn_layers[0].alpha = 0.0
    prompt = "The ship left"
    fired = int(model.codes(prompt)[0].indices[-1, 0])
    asked = Intervention(1, 7, "set", 9.0, Scope("prompt"), Condition(fired, layer=0))
    edits = EditBuffers.allocate(model.n_features, rows=1)
    edits.write(0, [asked], 99)
    ids = torch.tensor([model.encode_text(prompt)])
    assert not torch.equal(model(ids, edits=edits).logits, model(ids).logits)
