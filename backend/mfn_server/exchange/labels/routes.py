"""Labels as files to be fetched, and files to be brought in."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import IO, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import iterate_in_threadpool

from mfn_server.access.audit import Actor
from mfn_server.access.person import Permission, Person, require
from mfn_server.db.session import Database
from mfn_server.errors import ERROR_RESPONSES, APIError
from mfn_server.exchange.labels.events_out import export_lines
from mfn_server.exchange.labels.importing import ImportFormat, TakenBackError, take_in
from mfn_server.exchange.labels.report import ImportReport
from mfn_server.exchange.labels.table_out import export_table
from mfn_server.exchange.neuronpedia.labels import explanation_lines
from mfn_server.studio import StudioDep

router = APIRouter(prefix="/api/labels", tags=["labels"], responses=ERROR_RESPONSES)

IMPORT = "/api/labels/import"
"""Where bodies may be longer than elsewhere."""

Reader = Annotated[Person, Depends(require(Permission.READ))]
Admin = Annotated[Person, Depends(require(Permission.ADMINISTER))]
ExportFormat = Literal["jsonl", "csv", "neuronpedia"]

_EXPORTS: dict[ExportFormat, tuple[Callable[[Database, int], Iterator[str]], str, str]] = {
    "jsonl": (export_lines, "application/x-ndjson", "labels.jsonl"),
    "csv": (export_table, "text/csv; charset=utf-8", "labels.csv"),
    "neuronpedia": (explanation_lines, "application/x-ndjson", "explanations.jsonl"),
}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", "content": {"application/x-ndjson": {}, "text/csv": {}}},
}
_BODY = {"content": {name: {"schema": {"type": "string", "format": "binary"}} for name in ("application/x-ndjson",)}}
_IN_MEMORY = 1_000_000


@router.get("/export", response_class=StreamingResponse, responses=_FILE)
async def get_label_export(
    studio: StudioDep,
    person: Reader,
    format: Annotated[
        ExportFormat,
        Query(
            description="`jsonl`: every event once, to be imported; `csv`: what stands, for spreadsheets; "
            "`neuronpedia`: labels as its explanations."
        ),
    ] = "jsonl",
) -> StreamingResponse:
    """All that was said of features, as a file. What is hidden in blind campaigns is in none, whoever asks."""
    served = await studio.served()
    export, media_type, file = _EXPORTS[format]
    stem, _, ending = file.partition(".")
    name = f"{stem}-{served.facts.fingerprint[:8]}-{datetime.now(UTC):%Y%m%d}.{ending}"
    return StreamingResponse(
        iterate_in_threadpool(_pieces(export(studio.database, served.model_id))),
        media_type=media_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.post("/import", openapi_extra={"requestBody": {"required": True, **_BODY}})
async def post_label_import(
    studio: StudioDep,
    person: Admin,
    request: Request,
    format: Annotated[ImportFormat, Query(description="Of the body.")] = "jsonl",
    dry_run: Annotated[bool, Query(description="Change nothing, and say what would happen.")] = False,
) -> ImportReport:
    """Take in a file of labels, which is the body: all of it, or nothing where a line is wrong (`n_problems`).

    The same file again changes nothing. Its people become people of their own here.
    """
    served = await studio.served()
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
        async for piece in request.stream():
            file.write(piece)
        if not file.tell():
            raise APIError(422, "invalid_request", "the body is empty", hint="send the file as the body")
        file.seek(0)

        how: dict[str, Any] = {"format": format, "dry_run": dry_run, "person": person}
        actor = Actor.of(request, person)
        try:
            report = await studio.write(
                lambda connection: take_in(connection, served.model_id, _binary(file), actor=actor, **how)
            )
        except TakenBackError as back:
            report = back.report
    if report.taken_in:
        studio.live.wake()
    return report


def _binary(file: Any) -> IO[bytes]:
    found: IO[bytes] = file
    return found


def _pieces(lines: Iterator[str]) -> Iterator[bytes]:
    """Lines together, since each piece costs a turn of the thread."""
    kept: list[str] = []
    size = 0
    for line in lines:
        kept.append(line)
        size += len(line)
        if size > 1 << 16:
            yield "".join(kept).encode()
            kept, size = [], 0
    yield "".join(kept).encode()
