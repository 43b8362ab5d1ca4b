"""From "equip this model" to a run's config."""

from __future__ import annotations

import pytest

from mfn_core.errors import ConfigError
from mfn_core.training.equip import parse_features, parse_layers, parse_tokens


@pytest.mark.parametrize(
    ("text", "layers"), [("all", (0, 1, 2, 3)), ("0-2", (0, 1, 2)), ("3, 0 - 1,1", (0, 1, 3)), ("2", (2,))]
)
def test_layers(text: str, layers: tuple[int, ...]) -> None:
    assert parse_layers(text, 4) == layers


@pytest.mark.parametrize("text", ["", "a", "-1", "2-1", "0,,1", "0-", "every"])
def test_what_are_no_layers(text: str) -> None:
    with pytest.raises(ConfigError, match="looks like 0-4,7 or all"):
        parse_layers(text, 4)


def test_layers_out_of_range() -> None:
    with pytest.raises(ConfigError, match="names block 7; the model has blocks 0 to 3"):
        parse_layers("1-7", 4)


def test_features() -> None:
    assert (parse_features("16x", 64), parse_features("8 ×", 64), parse_features("500", 64)) == (1024, 512, 500)
    for text in ("", "x", "0", "0x", "1.5x", "-3"):
        with pytest.raises(ConfigError, match="looks like 16x"):
            parse_features(text, 64)


def test_tokens() -> None:
    given = ("2M", "500k", "1.5B", "1_500", "12")
    assert [parse_tokens(text) for text in given] == [2_000_000, 500_000, 1_500_000_000, 1500, 12]
    for text in ("", "M", "-1", "2T", "1e6"):
        with pytest.raises(ConfigError, match="looks like 2M"):
            parse_tokens(text)
