"""Routes over presets, and the presets that come with a model."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from fastapi import APIRouter, Query, Response
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from mfn_core.errors import ConfigError
from mfn_server.access.person import Permission, needs
from mfn_server.errors import ERROR_RESPONSES, APIError
from mfn_server.presets import store
from mfn_server.presets.schemas import (
    ChangedPreset,
    FileModel,
    Imported,
    NewPreset,
    PresetFile,
    PresetList,
    PresetVersions,
    PresetView,
    RestoreBody,
)
from mfn_server.presets.shipped import read_shipped
from mfn_server.studio import Served, Studio, StudioDep

logger = logging.getLogger(__name__)
router = APIRouter(prefix="/api/presets", tags=["presets"], responses=ERROR_RESPONSES)

T = TypeVar("T")


@router.get("", dependencies=[needs(Permission.READ)])
async def get_presets(studio: StudioDep) -> PresetList:
    """All presets of the served model."""
    return PresetList(items=await _read(studio, store.list_presets))


@router.post("", status_code=201, dependencies=[needs(Permission.SAVE)])
async def post_preset(studio: StudioDep, body: NewPreset) -> PresetView:
    """Keep a preset."""
    return await _write(studio, lambda connection, model_id: store.create(connection, model_id, body))


@router.get("/export", dependencies=[needs(Permission.READ)])
async def get_export(
    studio: StudioDep,
    response: Response,
    which: Annotated[Literal["own", "all"], Query(description="Those made here; or the built-in ones, too.")] = "own",
) -> PresetFile:
    """The presets as a file, for the import of another app."""
    served = await studio.served()
    views = await _read(studio, store.list_presets)
    response.headers["Content-Disposition"] = 'attachment; filename="presets.json"'
    return PresetFile(
        model=FileModel(name=served.facts.name, fingerprint=served.facts.fingerprint),
        presets=[store.content_of(view) for view in views if which == "all" or not view.builtin],
    )


@router.post("/import", dependencies=[needs(Permission.SAVE)])
async def post_import(studio: StudioDep, body: PresetFile) -> Imported:
    """Take the presets of a file in, all or none. One whose name a preset here has becomes its next version."""
    _check_sources(body, await studio.served())
    return await _write(studio, lambda connection, model_id: store.bring_in(connection, model_id, body.presets))


@router.get("/{preset_id}", dependencies=[needs(Permission.READ)])
async def get_preset(
    studio: StudioDep,
    preset_id: uuid.UUID,
    version: Annotated[int | None, Query(ge=1, description="An earlier one.")] = None,
) -> PresetView:
    """One preset, as it is or as it was."""
    return await _read(studio, lambda c, model_id: store.read_version(c, model_id, preset_id, version))


@router.get("/{preset_id}/versions", dependencies=[needs(Permission.READ)])
async def get_versions(studio: StudioDep, preset_id: uuid.UUID) -> PresetVersions:
    """All versions of a preset, the latest first."""
    items = await _read(studio, lambda connection, model_id: store.list_versions(connection, model_id, preset_id))
    return PresetVersions(items=items)


@router.put("/{preset_id}", dependencies=[needs(Permission.SAVE)])
async def put_preset(studio: StudioDep, preset_id: uuid.UUID, body: ChangedPreset) -> PresetView:
    """Change a preset: a new version. Where it says just that already, nothing changes."""
    return await _write(
        studio, lambda c, model_id: store.change(c, model_id, preset_id, body.content(), body.base_version)
    )


@router.post("/{preset_id}/restore", dependencies=[needs(Permission.SAVE)])
async def post_restore(studio: StudioDep, preset_id: uuid.UUID, body: RestoreBody) -> PresetView:
    """Go back to an earlier version, by a new one that says the same."""
    return await _write(
        studio, lambda c, model_id: store.restore(c, model_id, preset_id, body.version, body.base_version)
    )


@router.delete("/{preset_id}", status_code=204, dependencies=[needs(Permission.SAVE)])
async def delete_preset(studio: StudioDep, preset_id: uuid.UUID) -> None:
    """Delete a preset that someone made, with all its versions. Built-in ones stay."""
    await _write(studio, lambda connection, model_id: store.remove(connection, model_id, preset_id))


def install_builtin(connection: Connection, model_id: int, path: Path) -> None:
    """Make the model's built-in presets those of a file: a JSON list of presets. Needs a write transaction."""
    try:
        presets = [shipped.preset() for shipped in read_shipped(path)]
    except ConfigError as error:
        logger.warning("no presets taken: %s", error)
        return
    store.install(connection, model_id, presets)


async def _read(studio: Studio, work: Callable[[Connection, int], T]) -> T:
    served = await studio.served()

    def run() -> T:
        with studio.database.snapshot() as connection:
            return work(connection, served.model_id)

    return await run_in_threadpool(run)


async def _write(studio: Studio, work: Callable[[Connection, int], T]) -> T:
    served = await studio.served()
    return await studio.write(lambda connection: work(connection, served.model_id))


def _check_sources(file: PresetFile, served: Served) -> None:
    known = {source.key for source in served.facts.sources}
    for number, preset in enumerate(file.presets):
        for place, intervention in enumerate(preset.interventions):
            if intervention.source not in known:
                raise APIError(
                    422,
                    "unknown_source",
                    f"the preset {preset.name!r} turns a feature of {intervention.source}, which this model has not",
                    hint=f"the file is for {file.model.name}, fingerprint {file.model.fingerprint[:16]}; "
                    f"here is {served.facts.name}, {served.facts.fingerprint[:16]}",
                    field=f"presets.{number}.interventions.{place}.source",
                )
