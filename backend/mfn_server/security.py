"""What stands between the app and the rest of the web, with accounts and without.

A page of another site that a person has open must neither read nor change anything here. The Host allow-list stops DNS
rebinding (a foreign name that resolves to this address); Sec-Fetch-Site and Origin stop foreign forms and scripts; the
content security policy stops anything in a label or a corpus from becoming code. Programs such as curl send neither
header and are let in: they are no browser that someone could misuse. Where a cookie says who asks, more is wanted: see
`access.person`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mfn_server.errors import APIError, Dialects, respond

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# What asks them comes by address, and they tell nothing but whether the server is well.
PROBES = frozenset({"/healthz", "/readyz"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# The one hash is that of nothing: the empty style sheet which plotly.js inserts, and the empty style attributes that it
# gives to a colour bar, for which it takes 'unsafe-hashes'. No style with anything in it gets through.
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'self'",
        "style-src 'self' 'unsafe-hashes' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
        "img-src 'self' data: blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def host_name(host: str) -> str:
    """The name in a Host header, without port and brackets, in lower case; empty for nonsense."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def is_loopback(address: str) -> bool:
    """Whether an address to listen on is reached from the same computer alone. A name is not looked up."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address.lower() == "localhost"


def comes_from_here(headers: Headers) -> bool:
    """Whether a browser says that a page of this server asks. Where it says nothing, it does not."""
    origin = headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
    return headers.get("sec-fetch-site") == "same-origin"


class Gate:
    """ASGI middleware: refuses what may not come in, and sets the headers on what goes out."""

    def __init__(
        self,
        app: ASGIApp,
        allowed_hosts: Iterable[str],
        max_body_bytes: int,
        dialects: Dialects,
        longer: Mapping[str, int] | None = None,
    ) -> None:
        """`longer`: paths at which a body may be longer than elsewhere, and how long."""
        self._app = app
        self._hosts = LOOPBACK | {host.lower() for host in allowed_hosts}
        self._max_body_bytes = max_body_bytes
        self._dialects = dialects
        self._longer = dict(longer or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith(("/api/", "/v1/")):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await respond(refusal, scope["path"], self._dialects)(scope, receive, send_with_headers)
            return
        await self._app(scope, self._limited(receive, self._most(scope)), send_with_headers)

    def _refusal(self, scope: Scope) -> APIError | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host_name(host) not in self._hosts and scope["path"] not in PROBES:
            return APIError(
                421,
                "unknown_host",
                "this server does not answer under that name",
                hint="start it with --allow-host NAME, or set MFN_ALLOWED_HOSTS",
            )
        if scope["method"] not in SAFE_METHODS:
            origin = headers.get("origin")
            foreign_origin = origin is not None and urlsplit(origin).netloc.lower() != host.lower()
            if foreign_origin or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
                return APIError(403, "cross_site", "requests from other sites are refused")
        length = headers.get("content-length", "")
        most = self._most(scope)
        if length.isdecimal() and int(length) > most:
            return self._too_large(most)
        return None

    def _most(self, scope: Scope) -> int:
        return self._longer.get(scope["path"], self._max_body_bytes)

    def _limited(self, receive: Receive, most: int) -> Receive:
        """Bodies without a Content-Length are counted as they come."""
        seen = 0

        async def counting() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > most:
                    raise HTTPException(413, str(self._too_large(most)))
            return message

        return counting

    def _too_large(self, most: int) -> APIError:
        return APIError(413, "too_large", f"the request is longer than {most:,} bytes")
