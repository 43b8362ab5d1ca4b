"""Models that exist already: equipped, frozen or not; bundles trained on; SAEs beside a model that stays as it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from mfn_core import MFNModel
from mfn_core.data.tokenizer import fit_tokenizer
from mfn_core.errors import ConfigError
from mfn_core.evaluation.splicing import spliced
from mfn_core.training.export import export
from mfn_core.training.run import train
from tests.core.sentences import SENTENCES

from .conftest import lines, same_weights, small

LAYERS = {"layers": [0, 1], "n_features": 48, "k": 4, "k_first": 4, "alpha_from": 0.0, "alpha_until": 0.0}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ordinary Hugging Face folder: a random Llama whose texts begin with token 5."""
    folder = tmp_path_factory.mktemp("base")
    tokenizer = fit_tokenizer(SENTENCES, 280)
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=280,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=32,
        bos_token_id=5,
        eos_token_id=0,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def on_base(base: Path, freeze: bool = False, **change: Any) -> Any:
    return small(**{"base": {"path": str(base), "freeze": freeze}, "mfn": LAYERS, "tokens": 8 * 4 * 24, **change})


def plain(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in AutoModelForCausalLM.from_pretrained(folder).state_dict().items()}


def test_a_frozen_base_stays_bit_for_bit_and_only_features_learn(tmp_path: Path, base: Path, corpus: Path) -> None:
    trainer = train(on_base(base, freeze=True), tmp_path / "run", corpus)
    state, before = trainer.model.base.state_dict(), plain(base)
    assert all(torch.equal(state[name], tensor) for name, tensor in before.items())
    steps = [line for line in lines(tmp_path / "run") if "loss" in line]
    assert steps[-1]["fvu"]["0"] < steps[0]["fvu"]["0"]
    assert set(steps[0]["gradient_norm"]) == {"features"}
    rows = trainer.batches.take(0)
    assert (rows[:, 0] == 5).all()
    assert trainer.batches.start == 5


def test_a_joint_run_moves_the_base_and_its_log_begins_with_the_base_as_it_was(
    tmp_path: Path, base: Path, corpus: Path
) -> None:
    trainer = train(on_base(base), tmp_path / "run", corpus)
    state, before = trainer.model.base.state_dict(), plain(base)
    assert not any(torch.equal(state[name], tensor) for name, tensor in before.items())
    first = lines(tmp_path / "run")[0]
    untouched = AutoModelForCausalLM.from_pretrained(base)
    valid = torch.from_numpy(np.load(tmp_path / "run/data/valid.npy").astype(np.int64))
    with torch.no_grad():
        logits = untouched(valid).logits
    expected = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), valid[:, 1:].flatten())
    assert (first["step"], first["valid"]["loss"]) == (0, pytest.approx(float(expected), rel=1e-5))
    card = export(tmp_path / "run", tmp_path / "model")
    assert card["held_out"]["base_cross_entropy"] == pytest.approx(float(expected), abs=1e-4)
    assert f"| went on from | `{base}` |" in (tmp_path / "model" / "README.md").read_text()


def test_the_dense_twin_of_a_base_is_the_base_trained_on(tmp_path: Path, base: Path, corpus: Path) -> None:
    trainer = train(on_base(base, mfn={**LAYERS, "layers": []}), tmp_path / "run", corpus)
    assert not trainer.model.coders
    assert trainer.step == 8
    with pytest.raises(ConfigError, match="nothing to train"):
        train(on_base(base, freeze=True, mfn={**LAYERS, "layers": []}), tmp_path / "frozen", corpus)


def test_a_twin_of_equal_total_size_begins_as_the_base_and_learns_in_its_new_channels(
    tmp_path: Path, base: Path, corpus: Path
) -> None:
    tables, tokens = {**LAYERS, "layers": [], "tables": [0, 1]}, 8 * 4 * 24
    config = small(base={"path": str(base), "mlp": 40}, mfn=tables, tokens=tokens)
    trainer = train(config, tmp_path / "wide", corpus)
    train(on_base(base, mfn={**LAYERS, "layers": []}), tmp_path / "narrow", corpus)
    wide, narrow = (lines(tmp_path / name)[0]["valid"]["loss"] for name in ("wide", "narrow"))
    assert wide == pytest.approx(narrow, abs=1e-5)
    grown = trainer.model.base.model.layers[1].mlp.down_proj.weight
    assert grown.shape == (16, 40)
    assert bool((grown[:, 24:] != 0).all())
    large, plain_twin = (export(tmp_path / name, tmp_path / f"{name}-model") for name in ("wide", "narrow"))
    added = large["parameters"]["transformer"] - plain_twin["parameters"]["transformer"]
    assert added == 2 * 3 * 16 * (40 - 24)
    with pytest.raises(ConfigError, match="is a bundle"):
        train(small(base={"path": str(tmp_path / "wide-model"), "mlp": 50}, mfn=LAYERS), tmp_path / "no", corpus)
    with pytest.raises(ConfigError, match="not given"):
        small(base={"mlp": 40})


def test_a_bundle_is_trained_on_and_says_so_where_the_config_does_not_fit(
    tmp_path: Path, base: Path, corpus: Path
) -> None:
    train(on_base(base, freeze=True), tmp_path / "first", corpus)
    export(tmp_path / "first", tmp_path / "bundle")
    bundle = MFNModel.from_pretrained(tmp_path / "bundle")
    second = train(on_base(tmp_path / "bundle", freeze=True), tmp_path / "second", corpus)
    state = second.model.base.state_dict()
    for name, tensor in bundle.base.state_dict().items():
        assert torch.equal(state[name], tensor) == (".mfn." not in name), name
    with pytest.raises(ConfigError, match="layers of its own"):
        train(on_base(tmp_path / "bundle", mfn={**LAYERS, "n_features": 32}), tmp_path / "third", corpus)


def test_a_run_on_a_base_resumes_without_it(tmp_path: Path, base: Path, corpus: Path) -> None:
    config = on_base(base, checkpoint_every=4)
    whole = train(config, tmp_path / "whole", corpus)
    moved = tmp_path / "moved"
    shutil.copytree(base, moved)
    config = on_base(moved, checkpoint_every=4)

    def crash(metrics: dict[str, Any]) -> None:
        if metrics["step"] == 6:
            raise MemoryError

    with pytest.raises(MemoryError):
        train(config, tmp_path / "cut", corpus, crash)
    shutil.rmtree(moved)
    assert same_weights(train(config, tmp_path / "cut", corpus).model, whole.model)


@pytest.mark.parametrize("architecture", ["standard", "topk", "batchtopk", "jumprelu"])
def test_saes_learn_beside_a_model_that_stays_as_it_is(
    tmp_path: Path, base: Path, corpus: Path, architecture: str
) -> None:
    config = on_base(
        base,
        mfn={"layers": []},
        sae={"layers": [0, 1], "architecture": architecture, "n_features": 48, "k": 4, "dead_after": 200},
        tokens=24 * 4 * 24,
    )
    trainer = train(config, tmp_path / "run", corpus)
    state, before = trainer.model.base.state_dict(), plain(base)
    assert all(torch.equal(state[name], tensor) for name, tensor in before.items())
    steps = [line for line in lines(tmp_path / "run") if "loss" in line]
    assert steps[-1]["fvu"]["1"] < steps[0]["fvu"]["1"]
    card = export(tmp_path / "run", tmp_path / "model")
    assert [layer["kind"] for layer in card["layers"]] == ["sae", "sae"]
    shipped = MFNModel.from_pretrained(tmp_path / "model")
    norms = shipped.coders[0].directions.norm(dim=-1)
    torch.testing.assert_close(norms, torch.ones(48), rtol=0, atol=2e-3)


def test_a_model_is_trained_on_with_its_saes_in_the_streams_place(tmp_path: Path, base: Path, corpus: Path) -> None:
    saes = {"layers": [0, 1], "n_features": 48, "k": 4, "dead_after": 200, "site": "resid_mid"}
    train(on_base(base, mfn={"layers": []}, sae=saes), tmp_path / "saes", corpus)
    export(tmp_path / "saes", tmp_path / "bundle")
    before = MFNModel.from_pretrained(tmp_path / "bundle")
    change = {"mfn": {"layers": []}, "sae": saes | {"replace": True}, "optimizer": {"lr": 1e-2, "matrix_lr": 1e-2}}
    config = on_base(tmp_path / "bundle", **change, tokens=24 * 4 * 24, checkpoint_every=8)
    whole = train(config, tmp_path / "tuned", corpus)

    first, *_, last = [line["valid"]["loss"] for line in lines(tmp_path / "tuned") if "valid" in line]
    valid = torch.from_numpy(np.load(tmp_path / "tuned/data/valid.npy").astype(np.int64))
    with torch.no_grad(), spliced(before):
        logits = before(valid).logits[:, :-1]
    untuned = torch.nn.functional.cross_entropy(logits.flatten(0, 1), valid[:, 1:].flatten())
    assert first == pytest.approx(float(untuned), abs=1e-4)  # what is measured is the model with the SAEs in its stream
    assert last < first - 0.1

    old, new = before.base.state_dict(), whole.model.base.state_dict()
    moved = {name for name, tensor in old.items() if not torch.equal(new[name], tensor)}
    assert moved == {name for name in old if ".mfn." not in name}  # the Transformer, all of it, and nothing else

    card = export(tmp_path / "tuned", tmp_path / "shipped")
    shipped = MFNModel.from_pretrained(tmp_path / "shipped")
    assert all(coder.error_kept == 0.0 for coder in shipped.coders.values())
    assert card["held_out"]["cross_entropy"] == pytest.approx(last, abs=0.01)

    def crash(line: dict[str, Any]) -> None:
        if line["step"] == 13:
            raise MemoryError

    with pytest.raises(MemoryError):
        train(config, tmp_path / "cut", corpus, crash)
    assert same_weights(train(config, tmp_path / "cut", corpus).model, whole.model)


def test_only_a_model_with_saes_is_trained_on_with_them(tmp_path: Path, base: Path, corpus: Path) -> None:
    saes = {"layers": [0], "n_features": 48, "k": 4, "replace": True}
    with pytest.raises(ConfigError, match="has none"):
        train(on_base(base, mfn={"layers": []}, sae=saes), tmp_path / "run", corpus)
    with pytest.raises(ConfigError, match=r"leave base\.freeze off"):
        on_base(base, freeze=True, mfn={"layers": []}, sae=saes)


def test_a_vocabulary_that_needs_four_bytes() -> None:
    from mfn_core.data.mix import encode

    tokenizer = fit_tokenizer(SENTENCES, 280)
    assert encode(tokenizer, ["old fox"], 5)[0].dtype == np.uint16
    tokenizer.add_tokens([f"<extra-{n}>" for n in range(2**16)])
    piece = encode(tokenizer, ["old fox"], 65_900)[0]
    assert (piece.dtype, piece[0]) == (np.uint32, 65_900)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"context": 64}, "tokens": 8 * 4 * 64}, "at most 32"),
        ({"mfn": {**LAYERS, "layers": [7]}}, "no block 7"),
        ({"machine": {"device": "warp"}}, "device warp"),
        ({"machine": {"accumulate": 3}}, "must be a multiple"),
        ({"sae": {"layers": [0]}}, "not both"),
    ],
)
def test_what_is_refused(tmp_path: Path, base: Path, corpus: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train(on_base(base, **change), tmp_path / "run", corpus)


def test_an_empty_folder_is_no_base(tmp_path: Path, corpus: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"base\.path .*empty is neither"):
        train(on_base(tmp_path / "empty"), tmp_path / "run", corpus)
    with pytest.raises(ConfigError, match=r"base\.path /nowhere/at/all cannot be read"):
        train(on_base(Path("/nowhere/at/all")), tmp_path / "other", corpus)


def test_a_pretrained_model_that_nobody_here_wrote(tmp_path: Path) -> None:
    model = Path(__file__).parents[4] / "shared/models/stories260K"
    if not model.is_dir():
        pytest.skip("shared/models/stories260K is not here")
    text = [{"text": f"Once upon a time, {sentence}"} for sentence in SENTENCES]
    for split, part in (("train", text[:100]), ("valid", text[100:])):
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    config = on_base(model, freeze=True, mfn={**LAYERS, "layers": list(range(5)), "resid_final": True})
    trainer = train(config, tmp_path / "run", tmp_path)
    assert sorted(trainer.model.coders) == [0, 1, 2, 3, 4, 5]
    assert trainer.batches.start == 1


def test_a_dense_twin_is_a_base_like_any_other(tmp_path: Path, base: Path, corpus: Path) -> None:
    train(on_base(base, mfn={"layers": []}), tmp_path / "dense", corpus)
    export(tmp_path / "dense", tmp_path / "twin")
    saes = {"layers": [0, 1], "n_features": 24, "k": 4, "site": "resid_mid"}
    equipped = train(on_base(tmp_path / "twin", mfn={"layers": []}, sae=saes), tmp_path / "saes", corpus)
    assert sorted(equipped.model.coders) == [0, 1]
    now, before = equipped.model.base.state_dict(), MFNModel.from_pretrained(tmp_path / "twin").base.state_dict()
    assert all(torch.equal(now[name], tensor) for name, tensor in before.items())
