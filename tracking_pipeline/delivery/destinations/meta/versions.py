"""When Meta's Graph API versions end.

The Conversions API follows the Graph API's schedule, at least two years from a version's release.
A version that has ended is no error: Meta serves the call by the oldest one that is left, whatever
that makes of it. A version that is not listed here is newer than this table.
"""

from __future__ import annotations

from datetime import datetime, timezone

# https://developers.facebook.com/docs/graph-api/changelog/versions, as of November 2026; of v26.0
# no end was announced.
_ENDS = {
    "v19.0": (2026, 5, 21),
    "v20.0": (2026, 9, 24),
    "v21.0": (2027, 1, 21),
    "v22.0": (2027, 5, 20),
    "v23.0": (2027, 10, 8),
    "v24.0": (2028, 2, 18),
    "v25.0": (2028, 7, 29),
}
_OLDEST = min(_ENDS, key=_ENDS.__getitem__)


def version_end(version: str) -> datetime | None:
    """When a version (as in ``v25.0``) ends or ended; None where that is not known. One that is
    older than the table ended with its oldest, or before."""
    ends = _ENDS.get(version)
    if ends is None and _number(version) < _number(_OLDEST):
        ends = _ENDS[_OLDEST]
    return datetime(*ends, tzinfo=timezone.utc) if ends else None


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.removeprefix("v").split("."))
