"""Configs: the shipped ones, overrides, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from mfn_core.errors import ConfigError
from mfn_core.training.config import TrainConfig, load_config

CONFIGS = Path(__file__).parents[3] / "configs"


def test_the_demo_goes_on_from_the_dense_model_that_ships() -> None:
    demo, base = load_config(CONFIGS / "demo.toml"), load_config(CONFIGS / "demo-base.toml")
    shipped = json.loads((CONFIGS.parent / demo.base.path / "config.json").read_text())
    assert (shipped["hidden_size"], shipped["num_hidden_layers"]) == (base.model.width, base.model.blocks)
    assert (shipped["intermediate_size"], shipped["vocab_size"]) == (base.model.mlp, base.model.vocabulary)
    assert shipped["max_position_embeddings"] == base.model.context == demo.model.context
    assert demo.mfn.layers == tuple(range(base.model.blocks))
    assert not base.mfn.equips
    assert demo.data == dataclasses.replace(base.data, seed=demo.data.seed)
    assert demo.text_seed != base.text_seed  # the model sees other texts than its base did
    assert demo.optimizer.lr == pytest.approx(base.optimizer.lr * base.optimizer.floor)  # goes on as slowly as it ended
    assert all(source.about for source in demo.data.sources.values())


def test_the_twin_of_equal_total_size_has_as_many_weights() -> None:
    demo = load_config(CONFIGS / "demo.toml")
    found = re.search(r"base\.mlp=(\d+)", (CONFIGS / "demo.toml").read_text())
    assert found is not None
    shipped = json.loads((CONFIGS.parent / demo.base.path / "config.json").read_text())
    assert 3 * (int(found[1]) - shipped["intermediate_size"]) == 2 * demo.mfn.n_features


def test_the_smaller_demo_has_the_same_pressures_and_text() -> None:
    demo, small = load_config(CONFIGS / "demo.toml"), load_config(CONFIGS / "demo-small.toml")
    same = ("recon", "rate", "comp", "stab", "auxk", "pressures_from", "pressures_last", "token_lookup")
    assert [getattr(small.mfn, name) for name in same] == [getattr(demo.mfn, name) for name in same]
    assert (small.batch, small.autocast) == (demo.batch, demo.autocast)
    assert small.optimizer.lookup_lr == demo.optimizer.lookup_lr
    assert small.data == dataclasses.replace(demo.data, seed=0)
    assert small.model.width / small.mfn.k == pytest.approx(128 / demo.mfn.k, rel=0.15)
    assert small.mfn.layers == tuple(range(small.model.blocks))


def test_texts_for_the_card_are_not_part_of_the_run() -> None:
    demo = load_config(CONFIGS / "demo.toml")
    assert demo.same_run(load_config(CONFIGS / "demo.toml", ["description=other", "data.sources.stories.about=x"]))
    assert not demo.same_run(load_config(CONFIGS / "demo.toml", ["data.sources.stories.share=0.5"]))


def test_a_config_survives_json() -> None:
    demo = load_config(CONFIGS / "demo.toml")
    assert TrainConfig.from_json(demo.to_json()) == demo


def test_overrides() -> None:
    config = load_config(
        CONFIGS / "demo.toml", ["mfn.k=16", "optimizer.lr=1e-3", "name=other", "mfn.layers=[1]", "mfn.recon=1"]
    )
    assert (config.mfn.k, config.optimizer.lr, config.name, config.mfn.layers) == (16, 1e-3, "other", (1,))
    assert config.mfn.recon == 1.0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("mfn.kk=3", "unknown setting mfn.kk"),
        ("colour=red", "unknown setting colour"),
        ("mfn.k=many", "mfn.k must be of type int"),
        ("mfn.k", "looks like"),
        ("mfn.layers=[9]", "block 9"),
        ("mfn.layers=3", "list of whole numbers"),
        ("mfn=3", "mfn is a section"),
        ("seed.a=3", "is a value"),
        ("autocast=fp8", "autocast must be"),
        ("tokens=5", "tokens must be"),
        ("mfn.k=5000", "k_first must lie"),
        ("mfn.k_first=5000", "k_first must lie"),
        ("mfn.k=0", "k must lie"),
        ("mfn.alpha_until=0.005", "shares of the run"),
        ("mfn.auxk=-1.0", "not be negative"),
        ("mfn.comp=-1", "not be negative"),
        ("mfn.stab_every=0", "stab_every must be positive"),
        ("mfn.perturb=fog", "perturbation is one of"),
        ("mfn.perturb_amount=0.0", "amount of noise"),
        ("mfn.floor=1.5", "mfn.floor"),
        ("mfn.alpha_last=0.0", "mfn.alpha_last"),
        ("mfn.utility=some", "mfn.utility is one of all, transformer, none"),
        ("mfn.resample_after=10", "resample_after must be 0"),
        ("mfn.site=attic", "site must be one of"),
        ("ema=1.0", "ema is a decay"),
        ("data.sources.more.about=x", "missing 1 required"),
        ("model.heads=5", "multiple of 2 × heads"),
        ("model.vocabulary=256", "vocabulary must be at least"),
        ("optimizer.matrices=sgd", "muon or adamw"),
        ("optimizer.lr=0.0", "must be positive"),
        ("optimizer.warmup=1.0", "shares, 0 to 1"),
        ("data.sources.wikipedia.share=0.0", "share must be positive"),
        ("log_every=0", "log_every must be positive"),
        ("mfn.norm=batch", "norm must be"),
        ("data.sources.wikipedia.shar=1", "unknown setting data.sources.wikipedia.shar"),
    ],
)
def test_what_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(CONFIGS / "demo-small.toml", [override])


def test_features_that_nothing_presses_on_are_refused() -> None:
    nothing = [f"mfn.{name}=0.0" for name in ("recon", "rate", "comp", "stab", "auxk")]
    load_config(CONFIGS / "demo-small.toml", nothing)  # the next-token loss is left
    with pytest.raises(ConfigError, match="features need another loss"):
        load_config(CONFIGS / "demo-small.toml", [*nothing, "mfn.utility=none"])


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("a = [")
    with pytest.raises(ConfigError, match="not TOML"):
        load_config(tmp_path / "bad.toml")


def test_what_the_page_on_training_shows_can_be_read(tmp_path: Path) -> None:
    page = (CONFIGS.parent / "docs/how-to/train.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) >= 5
    for number, block in enumerate(blocks):
        (tmp_path / f"{number}.toml").write_text(block)
        load_config(tmp_path / f"{number}.toml")


def test_use_of_the_machine_is_not_part_of_the_run() -> None:
    demo = load_config(CONFIGS / "demo.toml")
    assert demo.same_run(load_config(CONFIGS / "demo.toml", ["machine.accumulate=4", "machine.parallel=fsdp"]))
