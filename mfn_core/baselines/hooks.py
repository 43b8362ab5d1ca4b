"""Names of places in a model: TransformerLens' hooks and Hugging Face's modules on one side, our sites on the other."""

from __future__ import annotations

import re
from typing import NamedTuple

from mfn_core.config import Site
from mfn_core.errors import BundleError


class Place(NamedTuple):
    """A site of a block. For `resid_final` the block is the number of blocks."""

    block: int
    site: Site


# TransformerLens' names within a block. Its resid_mid is ours: after attention has been added.
_HOOKS: dict[str, Site] = {
    "hook_resid_pre": "resid_pre",
    "hook_resid_mid": "resid_mid",
    "hook_resid_post": "resid_post",
    "hook_mlp_out": "mlp_out",
    "mlp.hook_post": "mlp_hidden",
}
_NAMES = {site: name for name, site in _HOOKS.items()}

# Modules of Hugging Face's models, as Gemma Scope 2 names them. What Gemma's MLP adds to the stream has passed a norm.
_MODULES: dict[str, Site] = {
    "input": "resid_pre",
    "output": "resid_post",
    "post_feedforward_layernorm.output": "mlp_out",
    "mlp.down_proj.input": "mlp_hidden",
}


def place_of_hook(name: str) -> Place:
    """Our place for a TransformerLens hook, `blocks.5.hook_resid_post` for instance.

    Raises:
        BundleError: there is no code of ours at that hook.
    """
    found = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    if found is None or found[2] not in _HOOKS:
        raise BundleError(f"the hook {name!r} has no site here; known are blocks.N. followed by {', '.join(_HOOKS)}")
    return Place(int(found[1]), _HOOKS[found[2]])


def hook_of_place(place: Place) -> str:
    """The TransformerLens hook of a place. What the final norm reads is the last block's output."""
    if place.site == "resid_final":
        return f"blocks.{place.block - 1}.hook_resid_post"
    return f"blocks.{place.block}.{_NAMES[place.site]}"


def place_of_module(name: str) -> Place:
    """Our place for a module of a Hugging Face model, `model.layers.5.output` for instance.

    Raises:
        BundleError: there is no code of ours there.
    """
    found = re.fullmatch(r"(?:.*\.)?layers\.(\d+)\.(.+)", name)
    if found is None or found[2] not in _MODULES:
        raise BundleError(f"the place {name!r} has no site here; known are layers.N. followed by {', '.join(_MODULES)}")
    return Place(int(found[1]), _MODULES[found[2]])
