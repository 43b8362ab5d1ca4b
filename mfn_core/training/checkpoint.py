"""Checkpoints that survive a crash: written aside, flushed, then renamed; two are kept."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from mfn_core.errors import MFNError
from mfn_core.files import flush

KEEP = 2


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to go on exactly as if it had not stopped.

    Attributes:
        step: how many steps are done.
        tensors: weights, optimiser state and statistics, by name.
        state: the rest, as JSON.
    """

    step: int
    tensors: dict[str, Tensor]
    state: dict[str, Any]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors whose names begin with `name.`, without that prefix."""
        prefix = f"{name}."
        return {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}


def joined(parts: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of all parts under the names by which `Checkpoint.part` finds them."""
    return {f"{part}.{name}": tensor for part, named in parts.items() for name, tensor in named.items()}


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes `folder/step-N`. Until the rename at the end, what was there before is untouched.

    Raises:
        MFNError: it cannot be written, for want of space or of rights.
    """
    target = folder / f"step-{checkpoint.step:08d}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for abandoned in folder.glob(".draft-*"):  # by a run that was killed while it wrote
            shutil.rmtree(abandoned)
        draft = folder / f".draft-{os.getpid()}"
        draft.mkdir()
        tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in checkpoint.tensors.items()}
        safetensors.torch.save_file(tensors, draft / "tensors.safetensors")
        (draft / "state.json").write_text(json.dumps({"step": checkpoint.step, **checkpoint.state}), encoding="utf-8")
        for path in (*draft.iterdir(), draft):
            flush(path)
        if target.exists():  # out of the way in one move: a kill must not leave half of it
            target.rename(folder / f".draft-{os.getpid()}-old")
        draft.rename(target)
        flush(folder)
        for old in _all(folder)[:-KEEP]:
            shutil.rmtree(old)
        shutil.rmtree(folder / f".draft-{os.getpid()}-old", ignore_errors=True)
    except (OSError, SafetensorError) as error:
        raise MFNError(f"cannot write the checkpoint {target} ({error}); those before it are untouched") from error


def has_checkpoint(folder: Path) -> bool:
    """Whether there is one."""
    return bool(_all(folder))


def newest_step(folder: Path) -> int | None:
    """The step at which the newest checkpoint stands, or None where there is none."""
    found = _all(folder)
    return int(found[-1].name.removeprefix("step-")) if found else None


def load_latest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint, or None where there is none.

    Raises:
        MFNError: it cannot be read.
    """
    found = _all(folder)
    if not found:
        return None
    try:
        tensors = safetensors.torch.load_file(found[-1] / "tensors.safetensors")
        state = json.loads((found[-1] / "state.json").read_text(encoding="utf-8"))
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise MFNError(
            f"the checkpoint {found[-1]} is broken ({error}); delete it to go on from the one before"
        ) from error
    return Checkpoint(state.pop("step"), tensors, state)


def _all(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*")) if folder.is_dir() else []
