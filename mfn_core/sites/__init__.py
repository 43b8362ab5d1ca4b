"""Where the streams of each model family can be read and written. One module a family; `base` has what they share."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from mfn_core.errors import UnknownFamilyError
from mfn_core.sites.base import Family, open_stream
from mfn_core.sites.gemma import GEMMA2, GEMMA3_TEXT
from mfn_core.sites.gpt2 import GPT2
from mfn_core.sites.gpt_neo import GPT_NEO
from mfn_core.sites.gpt_neox import GPT_NEOX
from mfn_core.sites.llama import LLAMA, MISTRAL, QWEN2, QWEN3
from mfn_core.sites.opt import OPT
from mfn_core.sites.phi import PHI

__all__ = ["FAMILIES", "Family", "family_of", "open_stream"]

FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (LLAMA, MISTRAL, QWEN2, QWEN3, GEMMA2, GEMMA3_TEXT, GPT2, GPT_NEO, OPT, GPT_NEOX, PHI)
}


def family_of(base: PreTrainedModel) -> Family:
    """The adapter for a model.

    Raises:
        UnknownFamilyError: none is registered for its `model_type`; the text says what to add.
    """
    model_type = base.config.model_type
    if model_type not in FAMILIES:
        raise UnknownFamilyError(
            f"models of type {model_type!r} cannot be equipped yet (known: {', '.join(sorted(FAMILIES))}). "
            f"To add them: a Family with {_advice(base)}, as docs/how-to/add-a-family.md shows, "
            f"in mfn_core.sites.FAMILIES[{model_type!r}]"
        )
    return FAMILIES[model_type]


def _advice(base: PreTrainedModel) -> str:
    """What the missing family would have to name, as far as it can be told from the model."""
    lists = {name: part for name, part in base.named_modules() if isinstance(part, nn.ModuleList) and len(part)}
    if not lists:
        return "the place of its blocks"
    place = max(lists, key=lambda name: (sum(p.numel() for p in lists[name].parameters()), -len(name)))
    block = type(lists[place][0]).__name__
    return f"the place of its blocks ({block}, it seems, at {place!r}), of their parts and of the final norm"
