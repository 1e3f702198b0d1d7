"""The shapes that answers of several endpoints share."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from tracking_pipeline.web.errors import ErrorAnswer

ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"model": ErrorAnswer, "description": "Nobody was recognised."},
    403: {"model": ErrorAnswer, "description": "Somebody was recognised who may not do this."},
    408: {"model": ErrorAnswer, "description": "The body did not come in time."},
    413: {"model": ErrorAnswer, "description": "The body is too long."},
    422: {"model": ErrorAnswer, "description": "The request cannot be understood."},
    503: {"model": ErrorAnswer, "description": "Trying again later may help."},
}
"""What every endpoint may answer beside its own."""


def _plain(text: str) -> str:
    if any(ord(character) < 32 and character not in "\t\n" for character in text):
        raise ValueError("must not contain control characters")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must be text that UTF-8 can write")
    return text


Text = Annotated[str, AfterValidator(_plain)]
"""Text that PostgreSQL can store and a log can show."""


def _in_calendar(moment: datetime) -> datetime:
    # Beyond these, another time zone's clock leaves Python's calendar.
    if not 2 <= moment.year <= 9998:
        raise ValueError("must be in the years 2 to 9998")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_in_calendar)]
"""A time with its zone."""


class Done(BaseModel):
    """What was asked is done."""

    success: bool = Field(True, description="Always true.")
