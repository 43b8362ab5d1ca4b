"""The dashboard's files, and plotly.js, all from this server."""

from __future__ import annotations

import os

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from mfn_server import resources

# Browsers ask each time whether a file has changed (by its ETag), so that after an update no old module stays behind.
_REVALIDATE = {"Cache-Control": "no-cache"}
_NOT_PAGES = ("api", "v1", "assets", "vendor")


class _Revalidated(StaticFiles):
    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(_REVALIDATE)
        return response


def install_pages(app: FastAPI) -> None:
    """Serve the dashboard. Every path that is no file and no part of the API shows index.html, which then routes."""
    frontend, plotly = resources.frontend(), resources.plotly_js()
    assets = _Revalidated(directory=frontend)
    vendor = _Revalidated(directory=plotly.parent)

    async def page(request: Request) -> Response:
        path = request.path_params["path"]
        first, _, rest = path.partition("/")
        if first in _NOT_PAGES or (not rest and "." in first):
            raise HTTPException(404, f"there is nothing at /{path}")
        return await assets.get_response("index.html", request.scope)

    async def plotly_js(request: Request) -> Response:
        return await vendor.get_response(plotly.name, request.scope)

    app.mount("/assets", assets, name="assets")
    app.router.routes.append(Route("/vendor/plotly.min.js", plotly_js, methods=["GET", "HEAD"]))
    app.router.routes.append(Route("/{path:path}", page, methods=["GET", "HEAD"]))
