"""What the served model is called, alone and with a preset: `mfn-demo`, `mfn-demo:dna`, `mfn-demo:dna@2`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from mfn_server.errors import APIError
from mfn_server.presets import store
from mfn_server.presets.schemas import PresetView
from mfn_server.studio import Served

_SUFFIX = re.compile(r"(?P<slug>.+?)(?:@(?P<version>\d{1,6}))?")


@dataclass(frozen=True)
class Named:
    """A model as it may be asked for. `preset` is what it is steered by, None for the model as it is."""

    name: str
    preset: PresetView | None = None


def names(served: Served, aliases: Sequence[str]) -> list[str]:
    """What the model as it is goes by: its own name first, then its aliases."""
    return list(dict.fromkeys([served.facts.name, *aliases]))


def slug(name: str) -> str:
    """A preset's name as part of a model's: lower case, words joined by hyphens; letters of any script."""
    return re.sub(r"\W+", "-", name.casefold()).strip("-")


def list_named(connection: Connection, served: Served, aliases: Sequence[str]) -> list[Named]:
    """Everything that can be asked for: names, and the first of them with each preset whose name tells it apart."""
    found = [Named(name) for name in names(served, aliases)]
    presets = store.list_presets(connection, served.model_id)
    known = Counter(slug(preset.name) for preset in presets)
    return found + [
        Named(f"{found[0].name}:{slug(preset.name)}", preset)
        for preset in presets
        if slug(preset.name) and known[slug(preset.name)] == 1
    ]


def find_named(connection: Connection, served: Served, aliases: Sequence[str], asked: str) -> Named:
    """What a client asks for.

    Raises:
        APIError: 404, no such model, preset or version; 400, several presets go by that name.
    """
    known = names(served, aliases)
    if asked in known:
        return Named(asked)
    base = next((name for name in known if asked.startswith(f"{name}:")), None)
    if base is None:
        raise _unknown(f"there is no model {asked!r} here", f"it is called {' or '.join(known)}")
    match = _SUFFIX.fullmatch(asked[len(base) + 1 :])
    wanted = slug(match["slug"]) if match else ""
    presets = [preset for preset in store.list_presets(connection, served.model_id) if slug(preset.name) == wanted]
    if not presets or match is None:
        raise _unknown(f"there is no preset {asked[len(base) + 1 :]!r}", "GET /v1/models lists them")
    if len(presets) > 1:
        raise APIError(400, "ambiguous_model", f"{len(presets)} presets are called {wanted!r}", field="model")
    if match["version"] is None:
        return Named(asked, presets[0])
    try:
        old = store.read_version(connection, served.model_id, presets[0].id, int(match["version"]))
    except APIError as error:
        raise _unknown(error.detail.message, error.detail.hint) from None
    return Named(asked, old)


def _unknown(message: str, hint: str | None) -> APIError:
    return APIError(404, "unknown_model", message, hint=hint, field="model")
