"""Routes over presets, and the presets that come with a model."""

from __future__ import annotations

import logging
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Connection, Row, delete, func, insert, select
from starlette.concurrency import run_in_threadpool

from mfn_core.errors import ConfigError
from mfn_server.db.tables import Preset
from mfn_server.errors import ERROR_RESPONSES, APIError
from mfn_server.presets.schemas import NewPreset, PresetList, PresetView
from mfn_server.presets.shipped import read_shipped
from mfn_server.studio import StudioDep

logger = logging.getLogger(__name__)
router = APIRouter(prefix="/api/presets", tags=["presets"], responses=ERROR_RESPONSES)


@router.get("")
async def get_presets(studio: StudioDep) -> PresetList:
    """All presets of the served model."""
    served = await studio.served()

    def read() -> PresetList:
        statement = select(Preset).where(Preset.model_id == served.model_id)
        with studio.database.read() as connection:
            rows = connection.execute(statement.order_by(Preset.builtin.desc(), func.lower(Preset.name), Preset.id))
            return PresetList(items=[_view(row) for row in rows])

    return await run_in_threadpool(read)


@router.post("", status_code=201)
async def post_preset(studio: StudioDep, body: NewPreset) -> PresetView:
    """Keep a preset."""
    served = await studio.served()

    def write() -> PresetView:
        with studio.database.write() as connection:
            return _view(_insert(connection, served.model_id, body, uuid.uuid4(), builtin=False))

    return await run_in_threadpool(write)


@router.delete("/{preset_id}", status_code=204)
async def delete_preset(studio: StudioDep, preset_id: uuid.UUID) -> None:
    """Delete a preset that someone made. Built-in ones stay."""
    served = await studio.served()

    def write() -> None:
        which = (Preset.id == preset_id, Preset.model_id == served.model_id)
        with studio.database.write() as connection:
            builtin = connection.scalar(select(Preset.builtin).where(*which))
            if builtin is None:
                raise APIError(404, "unknown_preset", "there is no such preset")
            if builtin:
                raise APIError(403, "builtin_preset", "a preset that came with the model cannot be deleted")
            connection.execute(delete(Preset).where(*which))

    await run_in_threadpool(write)


def install_builtin(connection: Connection, model_id: int, path: Path) -> None:
    """Replace the model's built-in presets by those of a file: a JSON list of presets. Needs a write transaction."""
    try:
        presets = [shipped.preset() for shipped in read_shipped(path)]
    except ConfigError as error:
        logger.warning("no presets taken: %s", error)
        return
    connection.execute(delete(Preset).where(Preset.model_id == model_id, Preset.builtin))
    for preset in presets:
        identity = uuid.uuid5(uuid.NAMESPACE_URL, f"mfn-studio/preset/{model_id}/{preset.name}")
        _insert(connection, model_id, preset, identity, builtin=True)


def _insert(connection: Connection, model_id: int, preset: NewPreset, identity: uuid.UUID, builtin: bool) -> Row[Any]:
    return connection.execute(
        insert(Preset)
        .values(
            id=identity,
            model_id=model_id,
            builtin=builtin,
            created_at=datetime.now(UTC),
            **preset.model_dump(mode="json"),
        )
        .returning(Preset)
    ).one()


def _view(row: Row[Any]) -> PresetView:
    return PresetView(
        id=row.id,
        name=row.name,
        description=row.description,
        prompt=row.prompt,
        interventions=row.interventions,
        settings=row.settings,
        builtin=row.builtin,
        created_at=row.created_at,
    )
