"""SAELens folders with the real sae-lens, in an environment of its own: both sides compute the same, to 1e-5.

The environment is that of `MFN_SAELENS_PYTHON`, if set; else one in the user's cache, made with pip the first time
(`TORCH_INDEX_URL` says where to take torch from, as for `make`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from platformdirs import user_cache_path
from safetensors.torch import load_file, save_file
from torch import Tensor

from mfn_core import MFNLayer, MFNLayerConfig
from mfn_core.baselines import SAE, SAEConfig, load_saelens, save_saelens
from mfn_core.baselines.config import Architecture
from mfn_core.coder import SparseCoder
from mfn_core.config import Norm

pytestmark = [pytest.mark.slow, pytest.mark.interop]

SAELENS = "sae-lens==6.54.12"
D, N_FEATURES, K = 24, 64, 6
ARCHITECTURES: list[Architecture] = ["standard", "topk", "batchtopk", "jumprelu"]
NORMS: list[Norm] = ["rms", "layer", "scalar", "none"]
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
SIDE = Path(__file__).with_name("saelens_side.py")


@pytest.fixture(scope="session")
def saelens_python() -> Path:
    """A Python that has sae-lens."""
    if given := os.environ.get("MFN_SAELENS_PYTHON"):
        return Path(given)
    version = torch.__version__.split("+")[0]
    name = f"{SAELENS.replace('==', '-')}-torch-{version}-python-{sys.version_info[0]}.{sys.version_info[1]}"
    folder = user_cache_path("mfn-studio", ensure_exists=True) / "interop" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    python, done = folder / "bin/python", folder / "complete"
    with FileLock(folder.with_suffix(".lock")):
        if not done.exists():
            venv.create(folder, clear=True, with_pip=True)
            pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            index = os.environ.get("TORCH_INDEX_URL")
            first = ["--index-url", index] if index else []
            for what in ([*first, f"torch=={version}"], [SAELENS]):
                made = subprocess.run([*pip, *what], capture_output=True, text=True, check=False)
                if made.returncode:
                    last = (made.stderr.strip().splitlines() or ["it said nothing"])[-1]
                    pytest.skip(f"pip could not install {what[-1]}: {last}")
            done.touch()
    return python


def make(architecture: Architecture, norm: Norm, applied: bool) -> SAE:
    k = K if architecture in ("topk", "batchtopk") else None
    config = SAEConfig(
        N_FEATURES, architecture, k=k, norm=norm, norm_scale=1.7, apply_b_dec_to_input=applied, site="resid_post"
    )
    sae = SAE(D, config, 1)
    with torch.no_grad():
        for parameter in (sae.b_enc, sae.b_dec):
            parameter.normal_(std=0.2)
        sae.W_enc.add_(torch.randn_like(sae.W_enc) * 0.2)
        if sae.threshold is not None:
            sae.threshold.copy_(torch.rand_like(sae.threshold) * 0.5 + 0.3)
    return sae


def ours() -> dict[str, SparseCoder]:
    torch.manual_seed(0)
    made: dict[str, SparseCoder] = {
        f"{architecture}-{norm}-{applied}": make(architecture, norm, applied)
        for architecture in ARCHITECTURES
        for norm in NORMS
        for applied in (True, False)
    }
    for norm in NORMS:
        layer = MFNLayer(D, MFNLayerConfig(N_FEATURES, K, norm=norm, norm_scale=1.7), 1)
        with torch.no_grad():
            layer.b_dec.normal_(std=0.2)
        made[f"mfn-{norm}"] = layer
    return made


def compute(coder: SparseCoder, h: Tensor) -> tuple[Tensor, Tensor]:
    """Codes, dense, and the stream as they rebuild it."""
    codes, scale = coder.encode(h)
    shift = coder.normalise(h)[2]
    return codes.dense(), scale * coder.decode(codes) + (0.0 if shift is None else shift)


@torch.inference_mode()
def test_both_sides_compute_the_same(saelens_python: Path, tmp_path: Path) -> None:
    stream = torch.randn(16, 13, D, generator=torch.Generator().manual_seed(5)) * 2
    stream += torch.randn(D, generator=torch.Generator().manual_seed(6))
    save_file({"h": stream}, tmp_path / "input.safetensors")
    mine = ours()
    for name, coder in mine.items():
        save_saelens(coder, tmp_path / "ours" / f"ours-{name}", model_name="tiny")
    done = subprocess.run(
        [str(saelens_python), str(SIDE), str(tmp_path)], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers = load_file(tmp_path / "answers.safetensors")
    coders = {f"ours-{name}": coder for name, coder in mine.items()}
    coders |= {path.name: load_saelens(path) for path in (tmp_path / "theirs").iterdir()}
    assert len(coders) == 36 + 32
    assert set(answers) == {f"{name}.{what}" for name in coders for what in ("codes", "rebuilt")}
    worst = {"codes": 0.0, "rebuilt": 0.0}
    for name, coder in coders.items():
        codes, rebuilt = compute(coder, stream)
        fires = (codes > 0).double().mean()
        assert 0.01 < float(fires) < 0.9, name
        for what, found in (("codes", codes), ("rebuilt", rebuilt)):
            theirs = answers[f"{name}.{what}"]
            torch.testing.assert_close(found, theirs, **TOLERANCE, msg=lambda text, n=name, w=what: f"{n} {w}: {text}")
            difference = float((found - theirs).abs().max() / theirs.abs().max())
            worst[what] = max(worst[what], difference)
    print(f"{len(coders)} SAEs; largest difference over largest value: {worst}")
