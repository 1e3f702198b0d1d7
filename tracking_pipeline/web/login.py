"""A browser logs in with an admin's token and gets a session; the token itself is not kept.

The form of the health page posts here, and so may a script. No session is needed, but a page of
this server: else another site could log a browser in under its own name.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel, Field, SecretStr, ValidationError

from tracking_pipeline.web.answers import ERRORS, Done
from tracking_pipeline.web.context import Context
from tracking_pipeline.web.errors import ApiError
from tracking_pipeline.web.security.access import COOKIE, is_own_page

login_router = APIRouter(tags=["session"], responses=ERRORS)

_FORM = "application/x-www-form-urlencoded"
_MOST_TOKEN_CHARACTERS = 8_192


class Login(BaseModel):
    """What a browser logs in with."""

    token: Annotated[SecretStr, Field(max_length=_MOST_TOKEN_CHARACTERS)]


_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            content_type: {
                "schema": {
                    "type": "object",
                    "required": ["token"],
                    "properties": {
                        "token": {"type": "string", "maxLength": _MOST_TOKEN_CHARACTERS}
                    },
                }
            }
            for content_type in ("application/json", _FORM)
        },
    }
}


@login_router.post(
    "/session",
    response_model=Done,
    openapi_extra=_BODY,
    responses={303: {"description": "Posted by a form: on to the page, logged in or not."}},
)
async def log_in(request: Request, context: Context) -> Response:
    """Log this browser in: a JSON body gets 200, a form is sent on to the health page."""
    _require_own_page(request)
    is_form = request.headers.get("content-type", "").partition(";")[0].strip() == _FORM
    token = _token(await request.body(), is_form=is_form)
    try:
        admin = await context.access.admin_of(token)
    except ApiError as refused:
        if is_form and refused.status in (401, 403):
            # A person is looking: the form says it.
            return RedirectResponse("/?refused", status_code=303)
        raise
    await context.audit(request, admin, "login", "done")
    response: Response = (
        RedirectResponse("/", status_code=303) if is_form else JSONResponse({"success": True})
    )
    cookie, seconds = context.access.session_of(admin)
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=seconds,
        httponly=True,
        samesite="strict",
        secure=_is_https(request),
    )
    return response


@login_router.post(
    "/session/end",
    status_code=303,
    response_class=RedirectResponse,
    responses={303: {"description": "Logged out: on to the health page."}},
)
async def log_out(request: Request) -> Response:
    """Log this browser out."""
    _require_own_page(request)
    response = RedirectResponse("/", status_code=303)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


def _require_own_page(request: Request) -> None:
    if not is_own_page(request):
        raise ApiError(403, "this request does not come from this server's own page")


def _token(body: bytes, *, is_form: bool) -> str:
    """The token that was posted. Raises :class:`ApiError` where there is none."""
    try:
        found = (
            {name: values[0] for name, values in parse_qs(body.decode()).items()}
            if is_form
            else orjson.loads(body)
        )
        return Login.model_validate(found).token.get_secret_value()
    except (ValidationError, ValueError):
        raise ApiError(422, "token: a token is needed") from None


def _is_https(request: Request) -> bool:
    """Whether the browser speaks https to us, or to the proxy in front of us: then its cookie goes
    over nothing else. A client that lies here only harms itself."""
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))
