"""SAEs on the project's own trainer: every architecture learns, and the model stays what it was."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from mfn_core import MFNModel
from mfn_core.baselines import SAE, load_saelens, save_saelens
from mfn_core.training.config import TrainConfig
from mfn_core.training.run import train

SENTENCES = [
    f"The {adjective} {noun} went to the {place}."
    for adjective in ("old", "young", "quick", "tired")
    for noun in ("fox", "hen", "miller", "sailor", "child")
    for place in ("river", "market", "hill", "harbour")
]


@pytest.fixture
def base_folder(tiny_model: MFNModel, tmp_path: Path) -> Path:
    """The tiny model without its codes, as Hugging Face saves it, and text beside it."""
    base = LlamaForCausalLM(copy.deepcopy(tiny_model.base.config))
    base.load_state_dict({name: t for name, t in tiny_model.base.state_dict().items() if ".mfn." not in name})
    base.save_pretrained(tmp_path / "base")
    assert tiny_model.tokenizer is not None
    tiny_model.tokenizer.save_pretrained(tmp_path / "base")
    for split, part in (("train", SENTENCES[::2] * 2), ("valid", SENTENCES[1::2])):
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in part))
    return tmp_path / "base"


def config(base: Path, **sae: Any) -> TrainConfig:
    data: dict[str, Any] = {
        "name": sae["architecture"],
        "tokens": 40 * 8 * 24,
        "batch": 8,
        "log_every": 1,
        "eval_every": 40,
        "base": {"path": str(base)},
        "model": {"context": 24},
        "optimizer": {"mfn_lr": 1e-2},
        "sae": {"layers": [0, 1], "n_features": 64, "dead_after": 1500, "horizon": 1000, **sae},
        "data": {
            "valid_tokens": 480,
            "sources": {"text": {"share": 1.0, "train": "train.jsonl", "valid": "valid.jsonl"}},
        },
    }
    return TrainConfig.from_json(data)


@pytest.mark.parametrize(
    "settings",
    [
        {"architecture": "standard", "objective": {"l1": 0.05}},
        {"architecture": "topk", "k": 6, "objective": {"auxk_k": 8}},
        {"architecture": "batchtopk", "k": 6, "site": "resid_mid"},
        {"architecture": "jumprelu", "objective": {"penalty": "tanh"}},
    ],
    ids=lambda settings: str(settings["architecture"]),
)
def test_the_trainer_trains_saes(base_folder: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    lines: list[dict[str, Any]] = []
    trainer = train(config(base_folder, **settings), tmp_path / "run", tmp_path, report=lines.append)
    steps = [line for line in lines if "fvu" in line]
    for block in (0, 1):
        first, last = (line["fvu"].get(block, line["fvu"].get(str(block))) for line in (steps[0], steps[-1]))
        assert last < 0.8 * first
    untouched = LlamaForCausalLM.from_pretrained(base_folder)
    for name, tensor in untouched.state_dict().items():
        assert torch.equal(trainer.model.base.state_dict()[name], tensor)
    ids = torch.tensor([[0, 5, 9, 13, 200, 7]])
    assert torch.equal(trainer.model(ids).logits, untouched.eval()(ids).logits)
    sae = trainer.model.coders[0]
    assert isinstance(sae, SAE)
    if sae.config.architecture != "standard":
        norms = sae.directions.norm(dim=-1)
        torch.testing.assert_close(norms, torch.ones_like(norms))
    save_saelens(sae, tmp_path / "saelens")
    h = torch.randn(2, 5, sae.d_model) * 2
    theirs = load_saelens(tmp_path / "saelens").encode(h)[0].dense()
    torch.testing.assert_close(sae.encode(h)[0].dense(), theirs, rtol=1e-5, atol=1e-5)
