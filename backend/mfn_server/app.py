"""Assembles the app: database, model, routes, pages, and what guards them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.gzip import GZipMiddleware

from mfn_core.errors import MFNError
from mfn_server import __version__
from mfn_server.access.account_routes import router as account
from mfn_server.access.accounts import list_accounts
from mfn_server.access.admin_routes import router as admin
from mfn_server.access.login_routes import router as login
from mfn_server.access.passwords import Passwords
from mfn_server.access.person import Permission, declared, needs
from mfn_server.agreement.routes import router as agreement
from mfn_server.atlas.install import load_atlas
from mfn_server.campaigns.blind import NOTHING
from mfn_server.campaigns.routes import router as campaigns
from mfn_server.collecting.routes import router as collections
from mfn_server.db.index_lock import IndexBusyError, index_lock
from mfn_server.db.index_sweep import sweep
from mfn_server.db.migrate import open_database
from mfn_server.effects.routes import router as effects
from mfn_server.errors import install_error_handlers
from mfn_server.evidence.routes import router as evidence
from mfn_server.exchange.labels.routes import IMPORT
from mfn_server.exchange.labels.routes import router as label_files
from mfn_server.features.columns import ColumnsMissingError
from mfn_server.features.routes import router as features
from mfn_server.foreign.routes import router as foreign
from mfn_server.foreign.store import ForeignStore
from mfn_server.index_task import IndexTask
from mfn_server.inspecting.routes import router as inspecting
from mfn_server.labels.routes import router as labels
from mfn_server.live.routes import router as live
from mfn_server.model_info.routes import router as model_info
from mfn_server.naming.desk import NamingDesk
from mfn_server.naming.routes import router as naming
from mfn_server.naming.starting import read_price
from mfn_server.openai.errors import openai_error_response
from mfn_server.openai.routes import router as openai
from mfn_server.operating.measured import Measured
from mfn_server.operating.meters import Meters
from mfn_server.operating.routes import router as operating
from mfn_server.pages import install_pages
from mfn_server.presets.routes import install_builtin
from mfn_server.presets.routes import router as presets
from mfn_server.security import LOOPBACK, Gate
from mfn_server.served_model import plan_of
from mfn_server.settings import Settings
from mfn_server.steering.routes import router as steering
from mfn_server.steering.service import GenerationService, Limits
from mfn_server.studio import Served, Studio
from mfn_server.threads import to_the_end
from mfn_server.weights.cosines import router as cosines
from mfn_server.weights.routes import router as weights
from mfn_server.worker import ModelWorker, Plan, Worker

logger = logging.getLogger(__name__)

DIALECTS = {"/v1/": openai_error_response}

OF_ONE_KIND = (
    (features, Permission.READ),
    (inspecting, Permission.GENERATE),
    (weights, Permission.READ),
    (cosines, Permission.READ),
    (steering, Permission.GENERATE),
    (effects, Permission.GENERATE),
    (openai, Permission.GENERATE),
    (foreign, Permission.READ),
    (evidence, Permission.READ),
)
"""Routers all of whose routes ask for the same."""

OF_MANY_KINDS = (
    model_info,
    labels,
    label_files,
    naming,
    agreement,
    campaigns,
    collections,
    live,
    presets,
    operating,
    login,
    account,
    admin,
)
"""Routers whose routes say each what it asks for."""


def create_app(settings: Settings, plan: Plan | None = None, passwords: Passwords | None = None) -> FastAPI:
    """Make an app that serves `settings.model`.

    The database is opened and migrated at once; the model is loaded in its own process when the app starts, so that
    the first page does not wait for it.

    Args:
        settings: what and where.
        plan: how the model is loaded and what writes with it, if not as `plan_of` has it.
        passwords: how passwords are hashed, if not as `Passwords` has it.

    Raises:
        MFNError: the database cannot be used, or the installation lacks files.
    """
    if settings.model is None:
        raise MFNError("no model to serve: name its folder, or set MFN_MODEL")
    plan = plan or plan_of(settings.model, settings.rows)
    meters = Meters()
    settings.check_chat_template()
    read_price(settings.reader_price)
    dashboards = ForeignStore.of_folders(settings.dashboards)
    backups = None if settings.database_url.startswith("sqlite") else settings.home / "backups"
    database = open_database(settings.database_url, backups=backups)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        worker = _worker(settings, plan)
        indexing, generation = IndexTask(settings, database), GenerationService(worker, meters, limits_of(settings))
        studio = Studio(settings, database, worker, indexing, generation, dashboards, meters)
        studio.passwords = passwords or studio.passwords
        studio.naming = NamingDesk(settings, database)
        app.state.studio = studio
        studio.startup = asyncio.create_task(_start(studio))
        try:
            yield
        finally:
            studio.startup.cancel()
            await asyncio.gather(studio.startup, return_exceptions=True)
            await studio.live.close()
            await studio.generation.close()
            await studio.naming.stop()
            await studio.index_task.stop()
            await studio.templates.close()
            await worker.close()
            await studio.writer.close()
            database.close()

    app = FastAPI(
        title="MFN Studio",
        version=__version__,
        description="Browse and steer a language model that thinks in named features.",
        docs_url=None,  # FastAPI's own pages load their scripts from another host
        redoc_url=None,
        lifespan=lifespan,
    )
    # Within the gate, so that its refusals stay as they are; event streams are left alone, or they would stall. Level 1
    # takes a third of the time of level 5 and leaves a page little longer.
    app.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=1)
    app.add_middleware(
        Gate,
        allowed_hosts=_allowed(settings),
        max_body_bytes=settings.max_body_bytes,
        dialects=DIALECTS,
        longer={IMPORT: settings.max_import_bytes},
    )
    app.add_middleware(Measured, meters=meters)
    install_error_handlers(app, DIALECTS)
    for router, permission in OF_ONE_KIND:
        app.include_router(router, dependencies=[needs(permission)])
    for router in OF_MANY_KINDS:
        check_declared(router)
        app.include_router(router)
    install_pages(app)
    return app


def check_declared(router: APIRouter) -> None:
    """Refuse a router with a route of which nobody has said who may use it: by oversight it would be for all."""
    for route in router.routes:
        if not isinstance(route, APIRoute) or not declared(route):
            raise RuntimeError(f"nobody has said who may use {getattr(route, 'path', route)}")


def _worker(settings: Settings, plan: Plan) -> Worker:
    """The model in a process of its own, or in replicas on a Ray cluster."""
    if not settings.ray:
        return ModelWorker(plan)
    from mfn_server.fleet.client import FleetWorker
    from mfn_server.fleet.deploy import FleetOptions

    return FleetWorker(plan, FleetOptions.of(settings.ray, settings.replicas))


def limits_of(settings: Settings) -> Limits:
    """What the settings say of how much is taken in."""
    return Limits(settings.queue, settings.per_user, settings.lag, settings.keep_seconds, settings.memory_bytes)


async def _start(studio: Studio) -> None:
    """What is done once the model is there: its rows, presets, labels and index. Its error is the app's end."""
    if studio.settings.accounts:
        await to_the_end(_open_door, studio)
    await studio.worker.wait_loaded()
    served = await studio.served()

    def prepare() -> None:
        try:
            with index_lock(studio.database, patience=0.0):
                sweep(studio.database)
        except IndexBusyError:
            logger.info("someone is indexing; leftovers are removed another time")
        if studio.settings.presets_file is not None and studio.settings.presets_file.is_file():
            with studio.database.write() as connection:
                install_builtin(connection, served.model_id, studio.settings.presets_file)
        atlas = studio.settings.atlas_path
        if atlas is not None and atlas.is_file():
            load_atlas(studio.database, served.model_id, served.facts, atlas)

    await to_the_end(prepare)
    await studio.index_task.start(served)
    await to_the_end(warm_up, studio, served)


def _open_door(studio: Studio) -> None:
    """Before anybody logs in: what would make the first wrong name take longer than the next; whether any is right."""
    assert studio.passwords.decoy
    with studio.database.read() as connection:
        if not list_accounts(connection):
            logger.warning("nobody has an account yet; `mfn users create-admin NAME` makes the first one")


def warm_up(studio: Studio, served: Served) -> None:
    """Read what lists are looked up in, so that nobody waits for it: seconds for a million features."""
    with suppress(ColumnsMissingError), studio.database.snapshot() as connection:
        studio.catalogues.current(connection, served.model_id, served.facts.fingerprint, NOTHING)


def _allowed(settings: Settings) -> frozenset[str]:
    """Names under which the app answers. Listening on all addresses adds none: those must be said."""
    everywhere = {"0.0.0.0", "::", ""}  # noqa: S104
    return LOOPBACK | set(settings.allowed_hosts) | ({settings.host} - everywhere)
