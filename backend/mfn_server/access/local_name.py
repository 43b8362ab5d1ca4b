"""How the one person of a server without accounts wants to be called, as their browser keeps it."""

from __future__ import annotations

from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import Response

NAME_COOKIE = "mfn_name"
LONGEST = 100

_YEAR = 365 * 24 * 3600


def local_name(request: Request) -> str | None:
    """The name that the browser sent; None where there is none, or none that could have been put there."""
    name = unquote(request.cookies.get(NAME_COOKIE, ""), errors="replace")
    return name if 0 < len(name) <= LONGEST and "\0" not in name and name == " ".join(name.split()) else None


def keep_local_name(response: Response, name: str) -> None:
    """Have the browser keep a name, which must be without superfluous blanks."""
    value = quote(name, safe="")
    response.set_cookie(NAME_COOKIE, value, max_age=10 * _YEAR, samesite="strict", httponly=True)
