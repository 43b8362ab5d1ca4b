"""The folder format beyond the plain case: several files, other kinds of codes, half precision, a hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import safetensors.torch
import torch
from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from mfn_core import MFNConfig, MFNLayerConfig, MFNModel, bundle
from mfn_core.baselines.config import NeuronConfig, SAEConfig
from mfn_core.config import CoderConfig
from mfn_core.errors import BundleError


def base(tie: bool = True) -> LlamaForCausalLM:
    torch.manual_seed(2)
    config = LlamaConfig(
        vocab_size=61,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=32,
        tie_word_embeddings=tie,
        bos_token_id=0,
        eos_token_id=None,
    )
    return LlamaForCausalLM(config).eval()


def ids() -> torch.Tensor:
    return torch.randint(1, 61, (2, 7), generator=torch.Generator().manual_seed(1))


KINDS: dict[str, dict[int, CoderConfig]] = {
    "lookup and every norm": {
        0: MFNLayerConfig(40, 5, norm="scalar", norm_scale=2.0, token_lookup=True),
        1: MFNLayerConfig(30, 4, norm="layer", blend_into="mlp", alpha=0.5),
    },
    "the end of the stream": {
        0: MFNLayerConfig(40, 5, site="resid_post"),
        2: MFNLayerConfig(20, 3, site="resid_final"),
    },
    "saes": {
        0: SAEConfig(40, "batchtopk", k=4, site="resid_post"),
        1: SAEConfig(40, "jumprelu", site="mlp_out", norm="none"),
    },
    "neurons beside an sae": {0: NeuronConfig(48, k=6, signed=False), 1: SAEConfig(32, "topk", k=3, site="resid_pre")},
}


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_code_comes_back(tmp_path: Path, kind: str, tie: bool) -> None:
    model = MFNModel.equip(base(tie), MFNConfig(KINDS[kind]))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(tmp_path)
    again = MFNModel.from_pretrained(tmp_path)
    auto: Any = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert again.config == auto.equipped.config == model.config
    assert again.fingerprint == auto.equipped.fingerprint == model.fingerprint
    expected = model(ids(), record=True)
    for other in (again, auto.equipped):
        out = other(ids(), record=True)
        assert torch.equal(out.logits, expected.logits)
        for number, trace in expected.traces.items():
            assert torch.equal(out.traces[number].codes.dense(), trace.codes.dense())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_stored_as_such_and_has_one_fingerprint(tmp_path: Path, dtype: torch.dtype) -> None:
    model = MFNModel.equip(base(), MFNConfig(KINDS["saes"]))
    model.save_pretrained(tmp_path / "half", dtype)
    stored = safetensors.torch.load_file(tmp_path / "half/model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {dtype}
    half, full = (MFNModel.from_pretrained(tmp_path / "half", dtype=kind) for kind in (dtype, torch.float32))
    assert half.fingerprint == full.fingerprint == full.refresh_fingerprint() != model.fingerprint
    full.save_pretrained(tmp_path / "full")
    assert MFNModel.from_pretrained(tmp_path / "full").fingerprint == half.fingerprint


def test_what_generation_starts_from_is_kept(tmp_path: Path) -> None:
    plain = base()
    plain.generation_config.eos_token_id = [3, 4]
    plain.generation_config.temperature = 0.6
    MFNModel.equip(plain, MFNConfig.uniform(1, MFNLayerConfig(20, 3))).save_pretrained(tmp_path)
    for again in (MFNModel.from_pretrained(tmp_path).base, AutoModelForCausalLM.from_pretrained(tmp_path)):
        assert again.generation_config.eos_token_id == [3, 4]
        assert again.generation_config.temperature == 0.6
    (tmp_path / "generation_config.json").write_text("{")
    with pytest.raises(BundleError, match=r"generation_config\.json is broken"):
        MFNModel.from_pretrained(tmp_path)


def test_where_the_base_came_from_is_not_told(tmp_path: Path) -> None:
    base().save_pretrained(tmp_path / "private" / "base")
    plain = LlamaForCausalLM.from_pretrained(tmp_path / "private" / "base")
    MFNModel.equip(plain, MFNConfig.uniform(1, MFNLayerConfig(20, 3))).save_pretrained(tmp_path / "out")
    assert "private" not in "".join(path.read_text() for path in (tmp_path / "out").glob("*.json"))


def sharded(folder: Path) -> dict[str, str]:
    """A bundle in three files; its index."""
    model = MFNModel.equip(base(), MFNConfig.uniform(2, MFNLayerConfig(20, 3)))
    model.save_pretrained(folder)
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = [f"model-{part:05}-of-00003.safetensors" for part in (1, 2, 3)]
    weight_map = {name: names[place % 3] for place, name in enumerate(sorted(tensors))}
    for part in names:
        inside = {name: tensor for name, tensor in tensors.items() if weight_map[name] == part}
        safetensors.torch.save_file(inside, folder / part, metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return weight_map


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("{", "index.json is not JSON"),
        ("[]", "has no weight_map"),
        ('{"weight_map": 3}', "has no weight_map"),
        ('{"weight_map": {"a": 3}}', "has no weight_map"),
        ('{"weight_map": {"a": "../other/model.safetensors"}}', "no file of weights beside it"),
        ('{"weight_map": {"a": "pytorch_model.bin"}}', "no file of weights beside it"),
        ('{"weight_map": {"a": "model-9.safetensors"}}', "names model-9.safetensors, which is not there"),
    ],
)
def test_a_broken_index_says_what_is_wrong(tmp_path: Path, index: str, message: str) -> None:
    sharded(tmp_path)
    assert len(MFNModel.from_pretrained(tmp_path).coders) == 2
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(BundleError, match=message) as caught:
        MFNModel.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_shard_that_lacks_a_tensor_is_noticed(tmp_path: Path) -> None:
    weight_map = sharded(tmp_path)
    name = "model.layers.1.mfn.W_dec"
    tensors = safetensors.torch.load_file(tmp_path / weight_map[name])
    del tensors[name]
    safetensors.torch.save_file(tensors, tmp_path / weight_map[name])
    with pytest.raises(BundleError, match=r"lacks model\.layers\.1\.mfn\.W_dec"):
        MFNModel.from_pretrained(tmp_path)


def test_what_is_no_folder_and_can_be_no_name_never_asks_a_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for where in (tmp_path / "none", str(tmp_path / "none"), "runs/demo/model", "./model", Path("owner/name")):
        with pytest.raises(BundleError, match="there is no model folder") as caught:
            MFNModel.from_pretrained(where)
        assert "hub" not in str(caught.value)
    MFNModel.equip(base(), MFNConfig()).save_pretrained("owner/name")
    assert MFNModel.from_pretrained("owner/name").coders == {}


class FakeHub:
    """What a hub keeps, in the layout of the local cache: what was pushed is then found as if it had been fetched."""

    def __init__(self, home: Path) -> None:
        self.cache = home / "hub"
        self.private: bool | None = None
        self.commits = 0

    def create_repo(self, api: Any, repo_id: str, *, private: bool | None = None, **_: Any) -> Any:
        self.private = private
        (self._folder(repo_id) / "snapshots").mkdir(parents=True, exist_ok=True)
        return huggingface_hub.RepoUrl(f"https://huggingface.co/{repo_id}")

    def create_commit(self, api: Any, repo_id: str, operations: Any, *, revision: str | None = None, **_: Any) -> Any:
        folder = self._folder(repo_id)
        before = self.files(repo_id)
        self.commits += 1
        commit = f"{self.commits:040x}"
        for operation in operations:
            if isinstance(operation, CommitOperationAdd):
                with operation.as_file() as file:
                    before[operation.path_in_repo] = file.read()
            elif isinstance(operation, CommitOperationDelete):
                del before[operation.path_in_repo]
        for name, content in before.items():
            path = folder / "snapshots" / commit / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / (revision or "main")).write_text(commit)
        return huggingface_hub.CommitInfo(
            commit_url=f"https://huggingface.co/{repo_id}/commit/{commit}",
            commit_message="",
            commit_description="",
            oid=commit,
        )

    def files(self, repo_id: str) -> dict[str, bytes]:
        head = self._folder(repo_id) / "refs" / "main"
        if not head.exists():
            return {}
        snapshot = self._folder(repo_id) / "snapshots" / head.read_text()
        return {str(path.relative_to(snapshot)): path.read_bytes() for path in snapshot.rglob("*") if path.is_file()}

    def _folder(self, repo_id: str) -> Path:
        return self.cache / f"models--{repo_id.replace('/', '--')}"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(tmp_path / "home")

    def no_card(*_: Any, **__: Any) -> Any:
        raise EntryNotFoundError("no card yet")

    for name in ("create_repo", "create_commit"):
        method = getattr(fake, name)
        monkeypatch.setattr(huggingface_hub.HfApi, name, lambda *a, _method=method, **k: _method(*a, **k))
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda self, repo_id, **_: list(fake.files(repo_id)))
    monkeypatch.setattr(huggingface_hub.ModelCard, "load", no_card)
    return fake


OFFLINE = """
import mfn_core
from transformers import AutoModelForCausalLM, AutoTokenizer
from mfn_core import MFNModel
model = MFNModel.from_pretrained("me/tiny")
print(model.fingerprint)
print(AutoModelForCausalLM.from_pretrained("me/tiny", revision="main").equipped.fingerprint)
print(len(AutoTokenizer.from_pretrained("me/tiny")))
for name in ("me/none", "me/plain"):
    try:
        MFNModel.from_pretrained(name)
    except mfn_core.MFNError as error:
        print(error)
"""


def test_to_a_hub_and_back(hub: FakeHub, tiny_bundle: Path, tmp_path: Path) -> None:
    auto: Any = AutoModelForCausalLM.from_pretrained(tiny_bundle)
    auto.push_to_hub("me/tiny", max_shard_size="20KB", tags=["mfn"])
    first = hub.files("me/tiny")
    assert {"config.json", "tokenizer.json", "README.md", "model.safetensors.index.json"} <= set(first)
    model = MFNModel.from_pretrained(tiny_bundle)
    address = model.push_to_hub("me/tiny", private=True)
    assert address.startswith("https://huggingface.co/me/tiny/commit/")
    assert hub.private
    second = hub.files("me/tiny")
    assert second["README.md"] == first["README.md"]
    assert not [name for name in second if name.startswith("model-") or name.endswith(".index.json")]
    again: Any = AutoModelForCausalLM.from_pretrained(tiny_bundle)
    again.save_pretrained(tmp_path / "saved", push_to_hub=True, repo_id="me/saved")
    assert {"config.json", "tokenizer.json", "model.safetensors"} <= set(hub.files("me/saved"))

    base().save_pretrained(tmp_path / "plain")
    huggingface_hub.HfApi().create_repo("me/plain")
    added = [CommitOperationAdd("config.json", str(tmp_path / "plain/config.json"))]
    huggingface_hub.HfApi().create_commit("me/plain", added, commit_message="")
    environment = {**os.environ, "HF_HOME": str(hub.cache.parent), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", OFFLINE], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    ours, theirs, vocabulary, absent, plain = done.stdout.splitlines()
    assert ours == theirs == model.fingerprint
    assert vocabulary == "300"
    assert "no model folder me/none" in absent
    assert "cannot be reached" in absent
    assert "holds no MFN model" in plain


def test_only_weights_and_json_are_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MFNModel.equip(base(), MFNConfig()).save_pretrained(tmp_path)
    asked: list[dict[str, Any]] = []

    def snapshot(name: str, **options: Any) -> str:
        asked.append(options)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda name, file, **_: str(tmp_path / file))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    MFNModel.from_pretrained("me/there", revision="v2")
    files = ["config.json", "model-1.safetensors", "pytorch_model.bin", "evil.py", "original/model.safetensors"]
    chosen = huggingface_hub.utils.filter_repo_objects(
        files, allow_patterns=asked[0]["allow_patterns"], ignore_patterns=asked[0]["ignore_patterns"]
    )
    assert list(chosen) == ["config.json", "model-1.safetensors"]
    assert asked[0]["revision"] == "v2"


@pytest.mark.parametrize("http_error", [OSError, HfHubHTTPError.__bases__[0]])
def test_a_hub_that_does_not_answer_is_one_line(http_error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> Any:
        raise LocalEntryNotFoundError("offline\nand so on")

    def refused(*_: Any, **__: Any) -> Any:
        raise http_error("no\nspace")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    with pytest.raises(BundleError, match=r"nor is it in the hub's cache, and the hub cannot be reached$"):
        bundle.locate("me/none")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refused)
    with pytest.raises(BundleError, match=r"cannot be fetched from the hub: no$"):
        bundle.locate("me/none")
    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", refused)
    with pytest.raises(BundleError, match=r"cannot write me/none to the hub: no$"):
        MFNModel.equip(base(), MFNConfig()).push_to_hub("me/none")
