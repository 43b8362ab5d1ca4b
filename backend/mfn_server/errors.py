"""Errors of the API: machine-readable bodies, one shape for all.

{"error": {"code": "unknown_feature", "message": "...", "hint": "... or null", "field": "... or null"}}
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException as StarletteHTTPException

from mfn_core.errors import InterventionError, MFNError
from mfn_server.worker.errors import ModelNotReadyError

logger = logging.getLogger(__name__)


class ErrorDetail(BaseModel):
    """What went wrong, for a program (`code`, `field`) and for a person (`message`, `hint`)."""

    code: str
    message: str
    hint: str | None = None
    field: str | None = None


class ErrorBody(BaseModel):
    """The body of every answer with a status of 400 or more."""

    error: ErrorDetail


class APIError(Exception):
    """Raise it anywhere below a route; it becomes the answer."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """`more` is JSON that the body has beside `error`."""
        super().__init__(message)
        self.status = status
        self.detail = ErrorDetail(code=code, message=message, hint=hint, field=field)
        self.headers = dict(headers or {})
        self.more = dict(more or {})

    def __reduce__(self) -> tuple[Callable[..., APIError], tuple[int, ErrorDetail, dict[str, str], dict[str, Any]]]:
        """Pickles whole: it may be raised where the model is, in another process."""
        return _made_again, (self.status, self.detail, self.headers, self.more)


def _made_again(status: int, detail: ErrorDetail, headers: dict[str, str], more: dict[str, Any]) -> APIError:
    said = {"hint": detail.hint, "field": detail.field}
    return APIError(status, detail.code, detail.message, **said, headers=headers, more=more)


ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorBody, "description": "The request was wrong; the body says how."},
    "5XX": {"model": ErrorBody, "description": "The server could not answer; the body says why."},
}
"""For the OpenAPI description of every route."""

_HTTP_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media_type"}


def error_response(error: APIError) -> JSONResponse:
    """The error as an HTTP answer."""
    body = ErrorBody(error=error.detail).model_dump() | error.more
    return JSONResponse(body, status_code=error.status, headers=error.headers)


Dialects = Mapping[str, Callable[[APIError], JSONResponse]]
"""How errors are answered below some paths: those that speak like somebody else's API. By the beginning of the path."""


def respond(error: APIError, path: str, dialects: Dialects) -> JSONResponse:
    """The error as the path's clients expect it."""
    answer = next((answer for prefix, answer in dialects.items() if path.startswith(prefix)), error_response)
    return answer(error)


def storage_error(error: DBAPIError) -> APIError:
    """What a failure of the database means to the person in front of it. The driver's words go to the log alone."""
    text = str(error.orig).lower()
    if "full" in text or "no space" in text:
        return APIError(507, "disk_full", "the disk is full: nothing was saved", hint="free some space and try again")
    if "malformed" in text or "not a database" in text:
        return APIError(500, "database_corrupt", "the database file is damaged", hint="restore it from a backup")
    if "locked" in text or "busy" in text:
        return APIError(503, "database_busy", "the database is busy", headers={"Retry-After": "1"})
    return APIError(503, "database_unavailable", "the database cannot be used now; nothing was saved")


def install_error_handlers(app: FastAPI, dialects: Dialects) -> None:
    """Give every error of the app the one shape, or the one of its dialect."""

    def respond_to(request: Request, error: APIError) -> JSONResponse:
        return respond(error, request.url.path, dialects)

    def on_api_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, APIError)
        return respond_to(request, error)

    def on_validation(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return respond_to(request, _from_validation(error))

    def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, StarletteHTTPException)
        code = _HTTP_CODES.get(error.status_code, f"http_{error.status_code}")
        return respond_to(request, APIError(error.status_code, code, str(error.detail), headers=error.headers))

    def on_user_error(request: Request, error: Exception) -> JSONResponse:
        code = "invalid_intervention" if isinstance(error, InterventionError) else "invalid_request"
        return respond_to(request, APIError(422, code, str(error)))

    def on_model(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ModelNotReadyError)
        later = {"Retry-After": str(max(1, math.ceil(error.retry_after)))}
        return respond_to(request, APIError(503, error.code, str(error), headers=later))

    def on_storage(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, DBAPIError)
        logger.error("database error in %s %s: %s", request.method, request.url.path, error.orig)
        return respond_to(request, storage_error(error))

    def on_bug(request: Request, error: Exception) -> JSONResponse:
        logger.exception("unexpected error in %s %s", request.method, request.url.path, exc_info=error)
        return respond_to(
            request, APIError(500, "internal_error", "something went wrong in the server; its log says more")
        )

    app.add_exception_handler(APIError, on_api_error)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(StarletteHTTPException, on_http)
    app.add_exception_handler(MFNError, on_user_error)
    app.add_exception_handler(ModelNotReadyError, on_model)
    app.add_exception_handler(DBAPIError, on_storage)
    app.add_exception_handler(Exception, on_bug)


def _from_validation(error: RequestValidationError) -> APIError:
    """The first thing that is wrong, without echoing the input (which may hold NaN, or be long)."""
    first = error.errors()[0]
    where = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    field = ".".join(where) or None
    if first["type"] == "json_invalid":
        return APIError(422, "invalid_json", "the body is not valid JSON", hint=first.get("ctx", {}).get("error"))
    if not where and not str(first["type"]).startswith("value_error"):
        return APIError(422, "invalid_json", "the body must be a JSON object", hint="send it as application/json")
    message = first["msg"].removeprefix("Value error, ")
    more = len(error.errors()) - 1
    return APIError(
        422,
        "invalid_request",
        f"{field}: {message}" if field else message,
        hint=f"{more} more of its fields are wrong" if more else None,
        field=field,
    )
