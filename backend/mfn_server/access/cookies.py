"""The cookie by which a browser is logged in.

No script can read it (HttpOnly), no other site's page sends it along (SameSite=Strict: the pages themselves need no
login, what they fetch does, so links from elsewhere work all the same). Over https it is sent over https alone, and the
`__Host-` in its name keeps neighbouring hosts from setting it.
"""

from __future__ import annotations

from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

NAME = "mfn_session"


def session_token(request: Request) -> str | None:
    """What the browser sent, if anything."""
    return request.cookies.get(_name(request)) or None


def set_session(request: Request, response: Response, token: str, lasts: timedelta) -> None:
    """Have the browser keep a login."""
    response.set_cookie(
        _name(request),
        token,
        max_age=int(lasts.total_seconds()),
        path="/",
        secure=_secure(request),
        httponly=True,
        samesite="strict",
    )


def clear_session(request: Request, response: Response) -> None:
    """Have the browser forget it."""
    response.delete_cookie(_name(request), path="/", secure=_secure(request), httponly=True, samesite="strict")


def _secure(request: Request) -> bool:
    """Over https, also where a trusted proxy ends it (X-Forwarded-Proto)."""
    return request.url.scheme == "https"


def _name(request: Request) -> str:
    return f"__Host-{NAME}" if _secure(request) else NAME
