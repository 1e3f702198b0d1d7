"""The HTTP application: which routers it has, and what stands around all of them.

    safe responses -> CORS -> HTTP's forms -> body limit -> router -> handler

An endpoint is an admin's when it takes ``Admin`` (``web/security/access.py``), as all of
``web/admin/router.py`` do; a test goes through all routes, so that a new one cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version

import httpx
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from tracking_pipeline.settings import Settings
from tracking_pipeline.store.database import connection_pool
from tracking_pipeline.web.admin.router import admin_router
from tracking_pipeline.web.context import WebContext
from tracking_pipeline.web.errors import add_error_handlers
from tracking_pipeline.web.intake.router import event_route, intake_router
from tracking_pipeline.web.login import login_router
from tracking_pipeline.web.metrics import metrics_router
from tracking_pipeline.web.middleware import BODY_SECONDS, BodyLimit, HttpForms, SafeResponses
from tracking_pipeline.web.page import page_router
from tracking_pipeline.web.probe import health_probe_router
from tracking_pipeline.web.run_desk import RunDesk
from tracking_pipeline.web.security.access import Access
from tracking_pipeline.web.security.supabase_tokens import KeySet, SupabaseTokens
from tracking_pipeline.web.watch import Watch, watching
from tracking_pipeline.wiring.installation import Installation

# For intake's handlers, and for a look-up of the caller's role with each admin request.
POOL_SIZE = 10
# What clients of Supabase, and the libraries that sites fetch with, send along: a preflight that
# names one more is refused, and with it the event.
_CORS_HEADERS = [
    *("authorization", "apikey", "x-api-key", "content-type", "content-encoding", "accept"),
    *("x-client-info", "x-retry-count", "x-region", "x-supabase-api-version", "prefer"),
    *("accept-profile", "content-profile", "idempotency-key", "cache-control", "pragma"),
    *("x-requested-with", "x-request-id", "traceparent", "tracestate", "baggage", "sentry-trace"),
    "x-visitor-address",
]
_CORS_SECONDS = 600

# Intake first: a request is compared with the routes in this order, and most are events.
ROUTERS = (
    intake_router,
    admin_router,
    login_router,
    health_probe_router,
    metrics_router,
    page_router,
)


def create_app(installation: Installation, runs: RunDesk, *, admin_token: str) -> FastAPI:
    """The application over one database. ``admin_token`` is ``ADMIN_API_TOKEN``, or a generated one
    where that is not set.

    It opens its pool when it starts; when it ends it closes ``runs`` and the pool.
    """
    settings = installation.settings

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            pool = await stack.enter_async_context(
                connection_pool(installation.database.url, size=POOL_SIZE)
            )
            stack.push_async_callback(runs.close)
            users = await _site_users(settings, stack)
            access = Access(admin_token, users, pool)
            watch = Watch(installation)
            app.state.context = WebContext(installation, pool, access, runs, watch)
            await stack.enter_async_context(watching(watch))
            yield

    app = FastAPI(
        title="tracking_pipeline",
        description="Re-sends failed conversion events and keeps watch over tracking.",
        version=version("tracking-pipeline"),
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
    )
    for router in ROUTERS:
        app.include_router(router)
    app.router.routes.insert(0, event_route)
    add_error_handlers(app)
    # The last one added is the outermost.
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes, seconds=BODY_SECONDS)
    app.add_middleware(HttpForms)
    if settings.cors_origins:
        # Without credentials: a session's cookie is for our own page alone.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=_CORS_HEADERS,
            max_age=_CORS_SECONDS,
        )
    app.add_middleware(SafeResponses)
    return app


async def _site_users(settings: Settings, stack: AsyncExitStack) -> SupabaseTokens | None:
    """Who checks the tokens of the site's users; None where nothing is configured to."""
    secret, address = settings.supabase_jwt_secret, settings.supabase_jwks_url
    if secret is None and address is None:
        return None
    keys = None
    if address is not None:
        keys = KeySet(address, await stack.enter_async_context(httpx.AsyncClient()))
    return SupabaseTokens(None if secret is None else secret.get_secret_value(), keys)
