"""The shapes that answers of several endpoints share."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

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


# The "+" of a zone that a sender left as it is in a query, where it means a space.
_SPACE_OF_ZONE = re.compile(r"(:\d\d(?:\.\d+)?) (\d\d:?\d\d)\Z")


def _as_meant(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    return _SPACE_OF_ZONE.sub(r"\1+\2", given.strip()) or None


AS_MEANT = BeforeValidator(_as_meant)
"""For an optional time: an empty text is none, and a zone's "+" may have become a space."""


def in_utc(moment: datetime) -> datetime:
    """The same with a zone: UTC where it names none."""
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


Moment = Annotated[
    Annotated[datetime, AfterValidator(in_utc), AfterValidator(_in_calendar)] | None, AS_MEANT
]
"""A day or a time, in UTC where it names no zone; or none."""


class Done(BaseModel):
    """What was asked is done."""

    success: bool = Field(True, description="Always true.")
