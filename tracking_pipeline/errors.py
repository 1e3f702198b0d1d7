"""What the errors that may be shown to a user have in common."""

from __future__ import annotations


class ExplainedError(Exception):
    """A failure that somebody can mend. The message is one line that says what is wrong and what to
    do, and carries no secret and no personal data: it is shown as it is."""


class WrongUseError(ExplainedError):
    """What was asked for or set cannot be used; the line says what to write."""
