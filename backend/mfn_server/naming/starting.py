"""What of a request becomes a run: what whoever runs the server has set, and nobody else can, is put in here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mfn_core.errors import ConfigError
from mfn_server.corpus_names import corpus_names
from mfn_server.db.score_tables import WorkState
from mfn_server.errors import APIError
from mfn_server.labels.schemas import PersonView
from mfn_server.model_facts import ModelFacts
from mfn_server.naming.run_schemas import RunBody, RunView
from mfn_server.naming.runs import LIMITS, SILENT, is_alive
from mfn_server.naming.scorers import WAYS
from mfn_server.settings import Settings


def read_price(price: str) -> tuple[float, float]:
    """Of "3/15" -> (3.0, 15.0); nothing costs nothing. Raises ConfigError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)", price or "0/0")
    if found is None:
        raise ConfigError(f"{price!r} is no READ/WRITTEN, such as 3/15")
    return float(found[1]), float(found[2])


def reader_name(whom: Mapping[str, Any] | None) -> str | None:
    """How a language model is called where people see it: never by its address."""
    if whom is None:
        return None
    return str(whom["endpoint"][1]) if whom["endpoint"] else Path(whom["folder"]).name


def reader_of(settings: Settings) -> dict[str, Any] | None:
    """The server's language model, as a run is told of it."""
    if settings.reader_folder is not None:
        return {"endpoint": None, "folder": str(settings.reader_folder.resolve())}
    if settings.reader_url and settings.reader_model:
        return {"endpoint": [settings.reader_url, settings.reader_model], "folder": None}
    return None


def may_ask(told: Mapping[str, Any], settings: Settings) -> bool:
    """Whether the page may have a run's language model asked.

    An endpoint is asked with the server's key. A budget bounds one run, not how many are started; and without accounts
    every program on the computer can start one. So there whoever runs the server has to allow it.
    """
    asks_elsewhere = bool((told.get("reader") or {}).get("endpoint"))
    return not asks_elsewhere or settings.accounts or settings.reader_without_accounts


def check_asking(told: Mapping[str, Any], settings: Settings) -> None:
    """Raises APIError (422) where the page may not have a run's language model asked."""
    if not may_ask(told, settings):
        message = "without accounts this server asks no endpoint for whoever comes"
        raise _wrong("reader", message, "MFN_READER_WITHOUT_ACCOUNTS=true allows it; or start the run by command")


def most_of(settings: Settings) -> float | None:
    """The most that a run may cost; None where nothing does."""
    return settings.reader_budget if any(read_price(settings.reader_price)) else None


def told_by(body: RunBody, settings: Settings, facts: ModelFacts) -> dict[str, Any]:
    """What a run is told. Raises APIError (422): something is not there, or would cost too much."""
    layer_of = {source.key: source for source in facts.sources}
    features = None
    if body.features is not None:
        features = []
        for each in body.features:
            source = layer_of.get(each.source)
            if source is None or each.index >= source.n_features:
                raise _wrong("features", f"there is no feature {each.index} of {each.source}")
            features.append([source.layer, each.index])
    if body.layers is not None and set(body.layers) - {source.layer for source in facts.sources}:
        raise _wrong("layers", "the model has no such layer")
    asks = body.kind == "explain" or body.reader
    whom = reader_of(settings) if asks else None
    check_asking({"reader": whom}, settings)
    which = {"features": features, "layers": None if body.layers is None else sorted(set(body.layers))}
    if body.kind == "suggest":
        return {**which, "ways": list(WAYS), "rules": [], "anew": False}
    if asks and whom is None:
        raise _wrong("reader", "this server has no language model that reads labels", "MFN_READER_URL names one")
    limits = (
        None if whom is None else {"prices": list(read_price(settings.reader_price)), "budget": _budget(body, settings)}
    )
    if body.kind == "explain":
        return {**which, "reader": whom, "anew": False, LIMITS: limits}
    if not settings.held_out:
        raise _wrong("kind", "this server has no held-out text to score labels on", "MFN_HELD_OUT names it")
    return {
        **which,
        "corpus": corpus_names([settings.held_out])[0],
        "documents": body.documents,
        "rules": [],
        "seed": body.seed,
        "snippets": body.snippets,
        "scorers": body.scorers,
        "reader": whom,
        "embedder": None,
        "baselines": whom is None,
        LIMITS: limits,
    }


def run_view(row: Any) -> RunView:
    """A run as people see it: no folder of the server's, no address."""
    told = row.told
    lost = row.state in (WorkState.WAITING, WorkState.WORKING) and not is_alive(row)
    corpus = told.get("corpus")
    return RunView(
        **{name: getattr(row, name) for name in ("id", "kind", "phase", "progress", "created_at", "finished_at")},
        **{name: getattr(row, name) for name in ("tokens_read", "tokens_written", "cost")},
        state=WorkState.STOPPED if lost else row.state,
        message=SILENT if lost else row.message,
        person=PersonView(id=row.author_id, name=row.author),
        features=None if told.get("features") is None else len(told["features"]),
        layers=told.get("layers"),
        scorers=told.get("scorers"),
        corpus=None if corpus is None else corpus if corpus.startswith("hf:") else Path(corpus).name,
        reader=reader_name(told.get("reader")),
        budget=(told.get(LIMITS) or {}).get("budget"),
    )


def _budget(body: RunBody, settings: Settings) -> float | None:
    most = most_of(settings)
    if most is None:
        return None
    if body.budget is not None and body.budget > most:
        raise _wrong("budget", f"one run may cost {most:g} at most here", "MFN_READER_BUDGET says so")
    if not most:
        raise _wrong("budget", "this server pays for nothing", "MFN_READER_BUDGET says what a run may cost")
    return body.budget or most


def _wrong(field: str, message: str, hint: str | None = None) -> APIError:
    return APIError(422, "invalid_request", message, field=field, hint=hint)
