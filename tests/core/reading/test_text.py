"""What `model.codes(text)` gives: the codes, its rankings, and how it shows itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from mfn_core import MFNModel, SparseCodes
from mfn_core.errors import ConfigError
from mfn_core.reading import FeatureRow, FeatureTable, TextCodes, Tokens

TEXT = "She said “don't wait” & closed the door.\nThe café <b>had</b> closed."


@pytest.fixture(scope="module")
def codes(tiny_model: MFNModel) -> TextCodes:
    return tiny_model.codes(TEXT)


def small(values: list[list[float]], pieces: list[bytes], skip: int = 0, indices: Any = None) -> TextCodes:
    """One layer, number 4, in which column j of `values` is feature j (or `indices` say which)."""
    code = torch.tensor(values)
    places = torch.arange(code.shape[1]).expand(code.shape) if indices is None else torch.tensor(indices)
    tokens = Tokens(tuple(range(len(pieces))), tuple(pieces), (False,) * len(pieces))
    return TextCodes({4: SparseCodes(places, code, 10)}, tokens, skip)


def test_it_is_a_mapping_from_block_to_codes(tiny_model: MFNModel, codes: TextCodes) -> None:
    assert isinstance(codes, Mapping)
    assert list(codes) == list(tiny_model.n_features)
    ids = tiny_model.encode_text(TEXT)
    traces = tiny_model(torch.tensor([ids]), record=True).traces
    for layer, code in codes.items():
        torch.testing.assert_close(code.dense(), traces[layer].codes.flatten().dense(), rtol=0, atol=0)
    assert codes.tokens.ids == tuple(ids)
    assert codes.tokens.text == TEXT


def test_text_and_its_token_ids_give_the_same(tiny_model: MFNModel, codes: TextCodes) -> None:
    again = tiny_model.codes(tiny_model.encode_text(TEXT))
    assert again.skip == codes.skip == 1
    assert again.top().to_dicts() == codes.top().to_dicts()
    assert tiny_model.codes(tiny_model.encode_text(TEXT)[1:]).skip == 0


def test_top_agrees_with_the_dense_code(tiny_model: MFNModel, codes: TextCodes) -> None:
    expected = []
    for layer, code in codes.items():
        dense = code.dense()[1:].numpy()  # without the beginning-of-text token
        for feature in range(dense.shape[1]):
            if dense[:, feature].any():
                at = int(dense[:, feature].argmax())
                share = float((dense[:, feature] > 0).mean())
                expected.append(
                    FeatureRow(layer, feature, float(dense[at, feature]), at + 1, codes.tokens[at + 1], share)
                )
    expected.sort(key=lambda row: -row.peak)
    assert list(codes.top(10_000)) == expected
    assert list(codes.top(5)) == expected[:5]
    assert {row.layer for row in codes.top(5, layer=1)} == {1}
    assert tiny_model.top_features(TEXT, n=5).to_dicts() == codes.top(5).to_dicts()


def test_a_beginning_of_text_token_counts_in_nothing() -> None:
    codes = small([[9.0, 0.0], [1.0, 2.0], [0.0, 0.0]], [b"<s>", b"a", b"b"], skip=1)
    assert codes.top().to_dicts() == [
        {"layer": 4, "feature": 1, "peak": 2.0, "position": 1, "token": "a", "share": 0.5},
        {"layer": 4, "feature": 0, "peak": 1.0, "position": 1, "token": "a", "share": 0.5},
    ]
    assert codes.feature(4, 0).peak == 1.0
    assert codes.feature(4, 0).values.tolist() == [9.0, 1.0, 0.0]


def test_padding_does_not_fire_and_values_below_0_do() -> None:
    codes = small([[3.0, 0.0], [-5.0, 0.0]], [b"a", b"b"], indices=[[2, 2], [3, 2]])
    assert [(row.feature, row.peak, row.share) for row in codes.top()] == [(3, -5.0, 0.5), (2, 3.0, 0.5)]


def test_a_peak_is_the_value_farthest_from_0() -> None:
    codes = small([[3.0], [-5.0], [4.0]], [b"a", b"b", b"c"])
    assert [(row.peak, row.position) for row in codes.top()] == [(-5.0, 1)]
    assert (codes.feature(4, 0).peak, codes.feature(4, 0).position) == (-5.0, 1)


def test_values_of_a_feature(codes: TextCodes) -> None:
    row = codes.top(1)[0]
    values = codes.feature(row.layer, row.feature)
    np.testing.assert_array_equal(np.asarray(values), codes[row.layer].value_of(row.feature).numpy())
    assert np.asarray(values, dtype=np.float64).dtype == np.float64
    assert list(values) == list(zip(codes.tokens, np.asarray(values).tolist(), strict=True))
    assert (values.peak, values.position, values.share) == (row.peak, row.position, row.share)


def test_what_fires_on_one_token(codes: TextCodes) -> None:
    rows = codes.at(-1, n=100)
    dense = {(layer, j): v for layer, code in codes.items() for j, v in enumerate(code.dense()[-1].tolist()) if v}
    assert {(row.layer, row.feature): row.peak for row in rows} == pytest.approx(dense)
    assert [row.peak for row in rows] == sorted((row.peak for row in rows), reverse=True)
    assert {row.position for row in rows} == {len(codes.tokens) - 1}
    with pytest.raises(ConfigError, match="there is no token 999"):
        codes.at(999)


@pytest.mark.parametrize(("layer", "feature", "message"), [(7, 0, "equipped blocks: 0, 1"), (0, 48, "0 to 47")])
def test_what_is_not_there_is_said(codes: TextCodes, layer: int, feature: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        codes.feature(layer, feature)


def test_a_table_slices_into_tables(codes: TextCodes) -> None:
    table = codes.top(6)
    assert isinstance(table[:2], FeatureTable)
    assert list(table[:2]) == [table[0], table[1]]
    assert [row.feature for row in table] == [row["feature"] for row in table.to_dicts()]


def test_text_forms_are_compact(codes: TextCodes) -> None:
    shown = repr(codes)
    assert shown.startswith(f"Codes of {len(codes.tokens)} tokens in 2 blocks")
    assert len(shown.splitlines()) == 12
    row = codes.top(1)[0]
    assert f"{row.peak:.2f}" in shown
    assert len(repr(codes.feature(row.layer, row.feature)).splitlines()) == len(codes.tokens) + 1


def test_html_is_the_text_and_nothing_that_loads_or_runs(codes: TextCodes, read_html: Any) -> None:
    page = read_html(codes._repr_html_())
    assert TEXT.partition("\n")[0] in page.text
    assert page.elements[-1][1]["class"] == "mfn tex2jax_ignore mathjax_ignore"
    for row in codes.top(10):
        assert f"{row.peak:.2f}" in page.text
    tips = [tip for _, tip in page.titled()]
    assert any(re.search(r"^layer 1: \d+ \(\d+\.\d\d\)", tip, re.MULTILINE) for tip in tips)


def test_shade_grows_with_the_value_and_the_tooltip_has_it(read_html: Any) -> None:
    values = small([[0.0], [1.0], [4.0], [-2.0]], [b"no", b"low", b"high", b"less"]).feature(4, 0)
    page = read_html(values._repr_html_())
    assert page.titled() == [
        ("low", "layer 4, feature 0: 1.00"),
        ("high", "layer 4, feature 0: 4.00"),
        ("less", "layer 4, feature 0: -2.00"),
    ]
    low, high, less = (style for _, style in page.shaded())
    depths = [float(re.search(r"rgba\((?:\d+,){3}([\d.]+)", style)[1]) for style in (low, less, high)]
    assert depths == sorted(depths)
    assert "border-bottom:2px" in high
    assert "border-bottom" not in low
    assert less.split("rgba(")[1][:5] != high.split("rgba(")[1][:5]  # another hue below 0
    assert "strongest 4.00 on “high”, fires on 75% of the tokens" in page.text


def test_an_output_of_nothing(read_html: Any) -> None:
    silent = small([[0.0], [0.0]], [b"a", b"b"])
    assert repr(silent.top()) == "no feature fires"
    assert "No feature fires." in read_html(silent._repr_html_()).text
    assert "silent on this text" in read_html(silent.feature(4, 0)._repr_html_()).text
    empty = small([[0.0]], [b"<s>"], skip=1)
    assert empty.top().to_dicts() == []
    assert empty.feature(4, 0).share == 0.0


def test_markup_and_control_characters_in_a_text_are_text(read_html: Any) -> None:
    pieces = [b"<script>alert(1)</script>", b'" onload="x', b"\x00\x1b", b"a\n", b"\tb", b"$x$"]
    codes = small([[1.0]] * len(pieces), pieces)
    for html in (codes._repr_html_(), codes.feature(4, 0)._repr_html_(), codes.at(1)._repr_html_()):
        page = read_html(html)
        assert "<script>alert(1)</script>" in page.text
        assert "␀␛" in page.text
        assert "\x00" not in html
    assert "a↵\n" in read_html(codes.feature(4, 0)._repr_html_()).text
    assert "a↵⇥b" in read_html(codes.top()._repr_html_()).text


def test_a_character_of_several_tokens_is_shaded_once_by_its_strongest(read_html: Any) -> None:
    values = small([[1.0], [3.0], [0.0]], [b"\xe5", b"\xad\x97", b"!"]).feature(4, 0)
    page = read_html(values._repr_html_())
    assert page.titled() == [("字", "layer 4, feature 0: 1.00\nlayer 4, feature 0: 3.00")]


def test_a_table_names_the_token_as_it_is_read(read_html: Any) -> None:
    page = read_html(small([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0]], [b"\xe5", b"\xad\x97", b"  "]).top()._repr_html_())
    assert [text for text, tip in page.titled() if tip.startswith("token ")] == ["字", "␣␣"]


def test_a_text_from_right_to_left_decides_its_own_direction(read_html: Any) -> None:
    tokens = Tokens((0, 1), (b"<s>", "שלום".encode()), (True, False))
    codes = TextCodes({0: SparseCodes(torch.zeros(2, 1, dtype=torch.int64), torch.ones(2, 1), 3)}, tokens, 1)
    page = read_html(codes.feature(0, 0)._repr_html_())
    strips = [text for _, attrs, text in page.elements if attrs.get("dir") == "auto"]
    assert strips == ["<s>שלום"]
    # The first strong letter decides; a special token's name, isolated in <bdi>, is passed over.
    assert [tag for tag, _, text in page.elements if text == "<s>"] == ["bdi"]


def test_a_long_text_is_cut_around_the_strongest_token_on_one_line(read_html: Any) -> None:
    pieces = [f" word{i}".encode() for i in range(100)]
    values = [[float(i == 50)] for i in range(100)]
    page = read_html(small(values, pieces).top()._repr_html_())
    assert " word50" in page.text
    assert " word49" in page.text
    assert "word0 " not in page.text
    assert page.text.count("…") == 2
