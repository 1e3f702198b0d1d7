"""What a client is told when a request cannot be served: one line, and nothing of the inside."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

import psycopg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg_pool import PoolTimeout
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from tracking_pipeline.store.database import DatabaseError

RETRY_AFTER_SECONDS = 5
_MOST_PROBLEMS = 5
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")

log = logging.getLogger(__name__)


class ErrorAnswer(BaseModel):
    """The body of every answer of status 400 and above."""

    success: bool = Field(False, description="Always false.")
    error: str = Field(description="One line: what is wrong, and where it helps, what to do.")


class ApiError(Exception):
    """Ends a request with this status and this one line."""

    def __init__(
        self, status: int, message: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


def unavailable(message: str) -> ApiError:
    """503: trying again later may help."""
    return ApiError(503, message, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def error_response(
    status: int, message: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The answer of that status with :class:`ErrorAnswer` as its body."""
    body = ErrorAnswer(error=message).model_dump()
    return JSONResponse(body, status_code=status, headers=dict(headers or {}))


def add_error_handlers(app: FastAPI) -> None:
    """Registers what each kind of error is answered with."""
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(DatabaseError, _database_error)
    app.add_exception_handler(PoolTimeout, _database_error)
    app.add_exception_handler(psycopg.Error, _database_error)


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101
    return error_response(error.status, str(error), error.headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    return error_response(error.status_code, str(error.detail), error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    """Names the places and what is wrong with them; never the values, which may be a person's."""
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return error_response(422, "; ".join(map(_problem, error.errors()[:_MOST_PROBLEMS])))


def _problem(found: Mapping[str, Any]) -> str:
    place, message = found["loc"], found["msg"]
    if found["type"] == "extra_forbidden":
        # The last part is the client's own word: told where it cannot be but a field's name.
        place, name = place[:-1], str(place[-1])
        known_as = f"the field {name}, which" if _FIELD_NAME.fullmatch(name) else "a field that"
        message = f"has {known_as} is not known"
    elif found["type"] == "json_invalid":
        message = "is not valid JSON"
    return f"{'.'.join(map(str, place))}: {message}"


async def _database_error(request: Request, error: Exception) -> Response:
    """A psycopg error may quote the row that it is about, so only its code is logged."""
    if isinstance(error, DatabaseError):
        log.error("%s", error)
    else:
        log.error("the database failed (SQLSTATE %s)", getattr(error, "sqlstate", None) or "none")
    return error_response(
        503,
        "the database does not answer: try again later",
        {"Retry-After": str(RETRY_AFTER_SECONDS)},
    )
