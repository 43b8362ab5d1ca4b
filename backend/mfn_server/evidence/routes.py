"""Routes that show what experiments found. They only read."""

from __future__ import annotations

import json
import re
from typing import Annotated

from fastapi import APIRouter, Header, Path
from starlette.responses import Response

from mfn_core.evidence.document import Document
from mfn_core.evidence.html import content_policy, to_html
from mfn_server.errors import ERROR_RESPONSES, APIError
from mfn_server.evidence.curves import curves
from mfn_server.evidence.schemas import BrokenItem, Curve, CurveSeries, EvidenceItem, EvidenceList, RunCurves, RunItem
from mfn_server.evidence.store import MOST_BYTES, EvidenceError, EvidenceStore, run_config
from mfn_server.features.edition import is_known
from mfn_server.studio import StudioDep

router = APIRouter(prefix="/api/evidence", tags=["evidence"], responses=ERROR_RESPONSES)

_Key = Annotated[str, Path(max_length=200, description="Its key in the list, or the first letters of its digest.")]
_IfNoneMatch = Annotated[str | None, Header(description="The `ETag` of an answer that the client holds.")]


@router.get("")
def get_evidence(studio: StudioDep) -> EvidenceList:
    """All documents and training runs, as they are on disk now; and the files that cannot be shown, with the reason."""
    found = studio.evidence.listing()
    return EvidenceList(
        documents=[
            EvidenceItem(key=each.key, bytes=each.bytes, digest=each.digest, **each.head) for each in found.documents
        ],
        runs=[RunItem(key=each.key, name=each.name, bytes=each.bytes) for each in found.runs],
        broken=[BrokenItem(file=each.file, reason=each.reason) for each in found.broken],
        left_out=found.left_out,
    )


@router.get("/runs/{key}", response_model=RunCurves)
def get_curves(studio: StudioDep, key: _Key, if_none_match: _IfNoneMatch = None) -> Response:
    """The curves of a training run: every number of its log by step, thinned where there are many."""
    try:
        found = studio.evidence.run(key)
    except KeyError:
        raise APIError(404, "unknown_run", f"there is no training run called {key}", field="key") from None
    headers = {"ETag": f'"{found.stamp}"', "Cache-Control": "private, no-cache"}
    if is_known(headers["ETag"], if_none_match):
        return Response(status_code=304, headers=headers)
    if found.bytes > MOST_BYTES:
        raise APIError(413, "too_large", f"the log of {found.name} is longer than {MOST_BYTES // 2**20} MiB")
    try:
        read = curves(found.path)
    except (OSError, ValueError, RecursionError):
        raise APIError(404, "unknown_run", f"the log of {found.name} cannot be read", field="key") from None
    body = RunCurves(
        key=found.key,
        name=found.name,
        config=run_config(found),
        curves=[
            Curve(
                name=name, series=[CurveSeries(name=each.name, steps=each.steps, values=each.values) for each in series]
            )
            for name, series in read.items()
        ],
    )
    return Response(body.model_dump_json(), media_type="application/json", headers=headers)


@router.get("/{key}")
def get_document(studio: StudioDep, key: _Key, if_none_match: _IfNoneMatch = None) -> Response:
    """A whole document, as `mfn_core.evidence.document` defines it."""
    found, document = _document(studio.evidence, key)
    headers = {"ETag": f'"{found}"', "Cache-Control": "private, no-cache"}
    if is_known(headers["ETag"], if_none_match):
        return Response(status_code=304, headers=headers)
    body = json.dumps(document.to_json(), ensure_ascii=False, allow_nan=False)
    return Response(body.encode("utf-8", "replace"), media_type="application/json", headers=headers)


@router.get("/{key}/html", response_class=Response)
def get_html(studio: StudioDep, key: _Key) -> Response:
    """The document as one HTML file that needs nothing else, to be kept."""
    _, document = _document(studio.evidence, key)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", document.name).strip("-.") or "evidence"
    html = to_html(document)
    headers = {
        "Content-Disposition": f'attachment; filename="{name}.html"',
        # to be read away from here; opened here all the same, it is nobody: no cookie, no call to the API
        "Content-Security-Policy": f"sandbox allow-scripts; {content_policy(document)}",
        "Cache-Control": "no-store",
    }
    return Response(html.encode("utf-8", "replace"), media_type="text/html; charset=utf-8", headers=headers)


def _document(store: EvidenceStore, key: str) -> tuple[str, Document]:
    try:
        found, document = store.document(key)
    except KeyError:
        raise APIError(404, "unknown_evidence", f"there is no evidence called {key}", field="key") from None
    except EvidenceError as error:
        raise APIError(404, "unknown_evidence", str(error), hint="its file has just changed", field="key") from error
    return found.digest, document
