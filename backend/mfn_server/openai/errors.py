"""Errors as OpenAI sends them, with the statuses from which its clients tell them apart.

{"error": {"message": "...", "type": "invalid_request_error", "param": "max_tokens", "code": "invalid_request"}}
"""

from __future__ import annotations

from typing import Any

from fastapi.responses import JSONResponse

from mfn_server.errors import APIError

_CODES = {
    "prompt_too_long": "context_length_exceeded",
    "unknown_model": "model_not_found",
    "too_many_requests": "rate_limit_exceeded",
    "not_logged_in": "invalid_api_key",
    "invalid_token": "invalid_api_key",
}


def openai_error(error: APIError) -> dict[str, Any]:
    """The body. A hint, which OpenAI has no field for, follows the message."""
    detail = error.detail
    message = f"{detail.message}; {detail.hint}" if detail.hint else detail.message
    code = _CODES.get(detail.code, detail.code)
    return {"error": {"message": message, "type": _type(error.status), "param": detail.field, "code": code}}


def openai_error_response(error: APIError) -> JSONResponse:
    """The answer. What our own API calls unprocessable (422) is a bad request (400) there."""
    status = 400 if error.status == 422 else error.status
    return JSONResponse(openai_error(error), status_code=status, headers=error.headers)


def _type(status: int) -> str:
    if status == 429:
        return "requests"
    return "server_error" if status >= 500 else "invalid_request_error"
