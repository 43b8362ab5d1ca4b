"""Presets in the database. Each function needs a connection; those that write need a write transaction."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from mfn_server.db.tables import Preset, PresetVersion
from mfn_server.errors import APIError
from mfn_server.presets.schemas import Imported, NewPreset, PresetView

_CONTENT = ("name", "description", "prompt", "interventions", "settings")
_SHOWN = (PresetVersion.preset_id == Preset.id) & (PresetVersion.version == Preset.version)


def list_presets(connection: Connection, model_id: int) -> list[PresetView]:
    """A model's presets as they are now: built-in ones first, then by name."""
    order = (Preset.builtin.desc(), func.lower(PresetVersion.name), Preset.created_at, Preset.id)
    return _views(connection, _select().where(_SHOWN, Preset.model_id == model_id).order_by(*order))


def list_versions(connection: Connection, model_id: int, preset_id: uuid.UUID) -> list[PresetView]:
    """Everything that a preset has ever said, the latest first.

    Raises:
        APIError: 404, the model has no such preset.
    """
    which = (PresetVersion.preset_id == Preset.id, Preset.id == preset_id, Preset.model_id == model_id)
    found = _views(connection, _select().where(*which).order_by(PresetVersion.version.desc()))
    if not found:
        raise _unknown()
    return found


def read_version(connection: Connection, model_id: int, preset_id: uuid.UUID, version: int | None) -> PresetView:
    """A preset as it was in one version, or (None) as it is.

    Raises:
        APIError: 404, the model has no such preset, or the preset no such version.
    """
    versions = list_versions(connection, model_id, preset_id)
    if version is None:
        return versions[0]
    if not 1 <= version <= len(versions):
        raise APIError(
            404, "unknown_version", f"the preset has no version {version}", hint=f"it has 1 to {len(versions)}"
        )
    return versions[-version]


def create(connection: Connection, model_id: int, content: NewPreset) -> PresetView:
    """Keeps a new preset, as its version 1."""
    return _create(connection, model_id, content, uuid.uuid4(), builtin=False)


def change(
    connection: Connection, model_id: int, preset_id: uuid.UUID, content: NewPreset, base_version: int
) -> PresetView:
    """Adds a version, unless the preset says just that already.

    Raises:
        APIError: 404, no such preset; 403, it is built in; 409, there is a later version than `base_version`.
    """
    _own(connection, model_id, preset_id, base_version)
    return _add_version(connection, model_id, preset_id, content)


def restore(connection: Connection, model_id: int, preset_id: uuid.UUID, version: int, base_version: int) -> PresetView:
    """Goes back to an earlier version, by a new one that says the same: nothing in between is lost.

    Raises:
        APIError: as `change`; 404, no such version.
    """
    _own(connection, model_id, preset_id, base_version)
    old = read_version(connection, model_id, preset_id, version)
    return _add_version(connection, model_id, preset_id, content_of(old))


def remove(connection: Connection, model_id: int, preset_id: uuid.UUID) -> None:
    """Removes a preset that someone made, with all versions.

    Raises:
        APIError: 404, no such preset; 403, it is built in.
    """
    _own(connection, model_id, preset_id, None)
    connection.execute(delete(Preset).where(Preset.id == preset_id))


def bring_in(connection: Connection, model_id: int, presets: Sequence[NewPreset]) -> Imported:
    """Takes presets in. One whose name somebody's preset here has, becomes that preset's next version."""
    found = Imported(created=[], changed=[], unchanged=[])
    here = {view.name: view for view in reversed(list_presets(connection, model_id)) if not view.builtin}
    for content in presets:
        known = here.get(content.name)
        if known is None:
            here[content.name] = create(connection, model_id, content)
            found.created.append(content.name)
        elif content_of(known) == content:
            found.unchanged.append(content.name)
        else:
            here[content.name] = change(connection, model_id, known.id, content, known.version)
            found.changed.append(content.name)
    return found


def install(connection: Connection, model_id: int, presets: Sequence[NewPreset]) -> None:
    """Makes a model's built-in presets those of its file. One that says something new gets a version."""
    kept = set()
    for content in {content.name: content for content in presets}.values():  # of two with one name the latter
        identity = uuid.uuid5(uuid.NAMESPACE_URL, f"mfn-studio/preset/{model_id}/{content.name}")
        kept.add(identity)
        if connection.scalar(select(Preset.id).where(Preset.id == identity)) is None:
            _create(connection, model_id, content, identity, builtin=True)
        else:
            _add_version(connection, model_id, identity, content)
    builtin = (Preset.model_id == model_id, Preset.builtin)
    connection.execute(delete(Preset).where(*builtin, Preset.id.not_in(kept)))


def content_of(view: PresetView) -> NewPreset:
    """What a preset says, without whose and which it is."""
    return NewPreset.model_validate(view.model_dump(include=set(_CONTENT)))


def _select() -> Select[Any]:
    columns = [getattr(PresetVersion, name) for name in ("version", *_CONTENT)]
    changed = PresetVersion.created_at.label("changed_at")
    return select(Preset.id, Preset.builtin, Preset.created_at, changed, *columns)


def _views(connection: Connection, statement: Select[Any]) -> list[PresetView]:
    return [PresetView.model_validate(dict(row._mapping)) for row in connection.execute(statement)]


def _create(
    connection: Connection, model_id: int, content: NewPreset, identity: uuid.UUID, builtin: bool
) -> PresetView:
    now = datetime.now(UTC)
    row = {"id": identity, "model_id": model_id, "builtin": builtin, "version": 1, "created_at": now}
    connection.execute(insert(Preset).values(**row))
    _write(connection, identity, 1, content, now)
    return read_version(connection, model_id, identity, None)


def _add_version(connection: Connection, model_id: int, preset_id: uuid.UUID, content: NewPreset) -> PresetView:
    latest = read_version(connection, model_id, preset_id, None)
    if content_of(latest) == content:
        return latest
    _write(connection, preset_id, latest.version + 1, content, datetime.now(UTC))
    connection.execute(update(Preset).where(Preset.id == preset_id).values(version=latest.version + 1))
    return read_version(connection, model_id, preset_id, None)


def _write(connection: Connection, preset_id: uuid.UUID, version: int, content: NewPreset, now: datetime) -> None:
    row = {"preset_id": preset_id, "version": version, "created_at": now, **content.model_dump(mode="json")}
    connection.execute(insert(PresetVersion).values(**row))


def _own(connection: Connection, model_id: int, preset_id: uuid.UUID, base_version: int | None) -> None:
    """Locks a preset until the transaction is over, if it is somebody's own.

    Raises:
        APIError: 404, no such preset; 403, it is built in; 409, there is a later version than `base_version`.
    """
    statement = select(Preset.builtin, Preset.version).where(Preset.id == preset_id, Preset.model_id == model_id)
    row = connection.execute(statement.with_for_update()).one_or_none()
    if row is None:
        raise _unknown()
    if row.builtin:
        raise APIError(
            403,
            "builtin_preset",
            "a preset that came with the model stays as its file has it",
            hint="keep a preset of your own that begins where this one is",
        )
    if base_version is not None and row.version != base_version:
        raise APIError(
            409,
            "preset_changed",
            f"somebody has changed the preset meanwhile: it is at version {row.version}, not {base_version}",
            hint="look at that version, then change it",
            field="base_version",
        )


def _unknown() -> APIError:
    return APIError(404, "unknown_preset", "there is no such preset")
