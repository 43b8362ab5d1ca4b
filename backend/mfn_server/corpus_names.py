"""Corpora by names that last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def corpus_names(corpora: Sequence[str]) -> list[str]:
    """Corpora by names that mean the same wherever one stands."""
    return [name if name.startswith("hf:") else str(Path(name).resolve()) for name in corpora]
