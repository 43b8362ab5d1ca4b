"""Forward passes are in bfloat16 only where that is asked for, or pays."""

from __future__ import annotations

import pytest
import torch

from mfn_core.training import precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [({"avx512_bf16": True, "amx_bf16": False}, "bf16"), ({"avx2": True, "amx_bf16": False}, "none")],
)
def test_auto_asks_the_machine(monkeypatch: pytest.MonkeyPatch, flags: dict[str, bool], expected: str) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags, raising=False)
    assert precision.resolved("auto", CPU) == expected
    with precision.autocast("auto", CPU):
        assert torch.is_autocast_enabled("cpu") == (expected == "bf16")


def test_a_device_of_another_kind_is_left_in_float32() -> None:
    assert precision.resolved("auto", torch.device("mps")) == "none"


@pytest.mark.parametrize("choice", ["bf16", "none"])
def test_a_choice_is_a_choice(choice: str) -> None:
    assert precision.resolved(choice, CPU) == choice
    with precision.autocast(choice, CPU):
        assert torch.is_autocast_enabled("cpu") == (choice == "bf16")
