"""``GET /``: the health page for an admin, the login form for everybody else."""

from __future__ import annotations

import logging

import psycopg
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from tracking_pipeline.store.dagster_runs import PastRun
from tracking_pipeline.store.database import DatabaseError
from tracking_pipeline.web.context import Context, WebContext
from tracking_pipeline.web.errors import RETRY_AFTER_SECONDS, ApiError
from tracking_pipeline.web.page.letter_filter import LetterFilter, letter_filter
from tracking_pipeline.web.page.reading import PageReading, read_page
from tracking_pipeline.web.page.rendering import assets, page_response
from tracking_pipeline.web.page.view import page_view

page_router = APIRouter(include_in_schema=False)

_MOST_RUNS = 10
_KEEP = "public, max-age=31536000, immutable"

log = logging.getLogger(__name__)


@page_router.get("/", response_class=HTMLResponse)
async def health_page(request: Request, context: Context) -> Response:
    """The page, or the way to it."""
    try:
        await context.access.admin(request)
    except ApiError as refused:
        return login_page(request, refused)
    chosen = letter_filter(request.query_params)
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


@page_router.get("/assets/{name}")
async def asset(name: str) -> Response:
    """Style and script: the same for everybody, and nothing secret in them."""
    found = assets().get(name)
    if found is None:
        raise HTTPException(404, "there is no such file")
    return Response(found.content, media_type=found.media_type, headers={"Cache-Control": _KEEP})


async def _read(context: WebContext, chosen: LetterFilter) -> PageReading:
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
