"""``GET /event?id=...``: one event for an admin, the login form for everybody else."""

from __future__ import annotations

import logging
from datetime import datetime, timezone

import psycopg
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from tracking_pipeline.delivery.explain import Explanation
from tracking_pipeline.store.database import DatabaseError
from tracking_pipeline.web.admin.explain import LONGEST_ID, explained
from tracking_pipeline.web.context import Context
from tracking_pipeline.web.errors import ApiError
from tracking_pipeline.web.page.event_view import event_page_view
from tracking_pipeline.web.page.rendering import page_response
from tracking_pipeline.web.page.routes import login_page, unavailable_page

event_page_router = APIRouter(include_in_schema=False)

log = logging.getLogger(__name__)


@event_page_router.get("/event", response_class=HTMLResponse)
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


def _typed(value: str) -> str:
    """Printable text, as PostgreSQL takes it."""
    return "".join(each for each in value if each.isprintable()).strip()[:LONGEST_ID]
