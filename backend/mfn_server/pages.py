"""The dashboard's files, and plotly.js, all from this server."""

from __future__ import annotations

from anyio import to_thread
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mfn_server import resources
from mfn_server.assets import Assets

_NOT_PAGES = ("api", "v1", "assets", "vendor")


def install_pages(app: FastAPI) -> None:
    """Serve the dashboard. Every path that is no file and no part of the API shows index.html, which then routes."""
    frontend, plotly = resources.frontend(), resources.plotly_js()
    assets, vendor = Assets(frontend), Assets(plotly.parent)

    async def page(request: Request) -> Response:
        path = request.path_params["path"]
        first, _, rest = path.partition("/")
        if first in _NOT_PAGES or (not rest and "." in first):
            raise HTTPException(404, f"there is nothing at /{path}")
        return await assets.get_response("index.html", request.scope)

    async def plotly_js(request: Request) -> Response:
        # megabytes: compressing them takes a fifth of a second, once
        await to_thread.run_sync(vendor.ready, str(plotly), plotly.stat())
        return await vendor.get_response(plotly.name, request.scope)

    app.mount("/assets", assets, name="assets")
    app.router.routes.append(Route("/vendor/plotly.min.js", plotly_js, methods=["GET", "HEAD"]))
    app.router.routes.append(Route("/{path:path}", page, methods=["GET", "HEAD"]))
