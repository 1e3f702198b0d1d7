"""The pages: ``GET /``, the health page for an admin, and ``GET /event?id=...``, one event; for
everybody else the login form. HTML that a strict content security policy goes with.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

import psycopg
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment

from tracking_pipeline.delivery.explain import Explanation
from tracking_pipeline.health.view.html import templates
from tracking_pipeline.health.view.svg import STYLE
from tracking_pipeline.store.dagster_runs import PastRun
from tracking_pipeline.store.database import DatabaseError
from tracking_pipeline.web.admin.explain import LONGEST_ID, explained
from tracking_pipeline.web.context import Context, WebContext
from tracking_pipeline.web.errors import RETRY_AFTER_SECONDS, ApiError
from tracking_pipeline.web.page.dead_letters import DeadLetterFilter, dead_letter_filter
from tracking_pipeline.web.page.event_view import event_page_view
from tracking_pipeline.web.page.reading import PageReading, read_page
from tracking_pipeline.web.page.view import page_view

page_router = APIRouter(include_in_schema=False)

log = logging.getLogger(__name__)

_MOST_RUNS = 10
_KEEP = "public, max-age=31536000, immutable"
# Nothing from elsewhere, nothing inline, nobody's frame.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    # A cookie decides what is seen.
    "Vary": "Cookie",
}
_MEDIA_TYPES = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


@page_router.get("/", response_class=HTMLResponse)
async def health_page(request: Request, context: Context) -> Response:
    """The page, or the way to it."""
    try:
        await context.access.admin(request)
    except ApiError as refused:
        return login_page(request, refused)
    chosen = dead_letter_filter(request.query_params)
    try:
        reading = await _read(context, chosen)
    except (DatabaseError, psycopg.Error) as error:
        # A psycopg error may quote the row that it is about.
        log.error("the page cannot be read (%s)", getattr(error, "sqlstate", None) or "no answer")
        return unavailable_page()
    database = context.installation.database
    view = page_view(
        reading,
        await _runs(context),
        chosen,
        database=database.label,
        rehearsal=database.rehearsal,
        dagster_url=context.settings.dagster_ui_url,
    )
    return page_response("page.html", page=view)


@page_router.get("/event", response_class=HTMLResponse)
async def event_page(request: Request, context: Context) -> Response:
    """The event that is searched for, or the way to it. On record as the API's own request is."""
    try:
        admin = await context.access.admin(request)
    except ApiError as refused:
        return login_page(request, refused)
    wanted = _typed(request.query_params.get("id", ""))
    if not wanted:
        return RedirectResponse("/", status_code=303)
    try:
        found: Explanation = await explained(context, request, admin, wanted)
    except (DatabaseError, psycopg.Error) as error:
        # A psycopg error may quote the row that it is about.
        log.error("an event cannot be read (%s)", getattr(error, "sqlstate", None) or "no answer")
        return unavailable_page()
    database = context.installation.database
    view = event_page_view(
        found,
        wanted,
        datetime.now(timezone.utc),
        database=database.label,
        rehearsal=database.rehearsal,
    )
    return page_response("event.html", status=200 if found.events else 404, page=view)


@page_router.get("/assets/{name}")
async def asset(name: str) -> Response:
    """Style and script: the same for everybody, and nothing secret in them."""
    found = assets().get(name)
    if found is None:
        raise HTTPException(404, "there is no such file")
    return Response(found.content, media_type=found.media_type, headers={"Cache-Control": _KEEP})


async def _read(context: WebContext, chosen: DeadLetterFilter) -> PageReading:
    installation = context.installation
    return await context.query(lambda connection: read_page(connection, installation, chosen))


async def _runs(context: WebContext) -> list[PastRun] | None:
    """The last runs; None where Dagster's storage cannot be read, which is no reason to show
    nothing else."""
    try:
        return await context.runs.last_runs(_MOST_RUNS)
    except Exception as error:  # of many libraries, and some with the password in their words
        log.warning("Dagster's storage cannot be read (%s)", type(error).__name__)
        return None


def unavailable_page() -> Response:
    """What is shown while the database is away."""
    response = page_response("unavailable.html", status=503)
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def login_page(request: Request, refused: ApiError) -> Response:
    """The form. That nobody is logged in yet is no fault, so nothing is said of it."""
    if refused.status == 503:
        return page_response("unavailable.html", status=503)
    was_refused = refused.status == 403 or "refused" in request.query_params
    response = page_response("login.html", status=refused.status, was_refused=was_refused)
    response.headers.update(refused.headers)
    return response


def _typed(value: str) -> str:
    """Printable text, as PostgreSQL takes it."""
    return "".join(each for each in value if each.isprintable()).strip()[:LONGEST_ID]


@dataclass(frozen=True, slots=True)
class Asset:
    """One file that goes with the pages. Its ``version`` changes with it, so that browsers may keep
    it for ever."""

    content: bytes
    media_type: str
    version: str


@cache
def assets() -> dict[str, Asset]:
    """All of them by name."""
    folder = files(__package__) / "assets"
    found = {}
    for name, media_type in _MEDIA_TYPES.items():
        content = (STYLE if media_type == "text/css" else folder / name).read_bytes()
        found[name] = Asset(content, media_type, sha256(content).hexdigest()[:12])
    return found


@cache
def _templates() -> Environment:
    environment = templates(__package__)
    environment.globals["asset"] = lambda name: f"/assets/{name}?v={assets()[name].version}"
    return environment


def page_response(template: str, *, status: int = 200, **names: Any) -> HTMLResponse:
    """The template with these names in it."""
    html = _templates().get_template(template).render(names)
    return HTMLResponse(html, status_code=status, headers=_HEADERS)
