"""A platform's own error codes and the failures that they are: one table a platform.

The failure says what becomes of the event, so a code stands in one place and nowhere else. What a
bare HTTP status means is decided in ``http_answers.classify_status``; its row only names the
failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tracking_pipeline.delivery.failures import Failure, FailureOutcome

IN_DOUBT = "no answer to a request that was sent"
"""Stands for a code where a platform that recognises no copy may have the event."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a code means, and who says so: an address, or the public code that knows it."""

    failure: Failure
    source: str


def known(failure: Failure, source: str, *codes: str) -> dict[str, Known]:
    """Rows of a table: all these codes are one failure."""
    return dict.fromkeys(codes, Known(failure, source))


@dataclass(frozen=True, slots=True)
class Codes:
    """The table of one platform. ``otherwise``: the failure of what no code of it names, by what
    becomes of the event."""

    table: Mapping[str, Known]
    otherwise: Mapping[FailureOutcome, Failure]

    def having(self, *outcomes: FailureOutcome) -> frozenset[str]:
        """The codes with one of these outcomes."""
        return frozenset(
            code for code, each in self.table.items() if each.failure.outcome in outcomes
        )

    def outcome(self, code: str) -> FailureOutcome | None:
        """What becomes of an event that meets this code; None where the table has no such code."""
        found = self.table.get(code)
        return found.failure.outcome if found else None

    def failure(self, outcome: FailureOutcome, *codes: str) -> Failure:
        """The failure behind an outcome: that of the first of these codes which leads to it. An
        answer may name several, and its status may outweigh them."""
        for code in codes:
            if self.outcome(code) == outcome:
                return self.table[code].failure
        return self.otherwise[outcome]
