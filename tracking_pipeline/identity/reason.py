"""Why an event failed, fit to be shown: rows that others wrote say anything."""

from __future__ import annotations

from tracking_pipeline.identity.sanitize import sanitize

LONGEST_REASON = 160


def plain_reason(reason: str | None) -> str:
    """A reason in one line of at most 160 characters, without personal data. To be shown only: the
    rows are found by the reason as it stands in them."""
    cleaned = sanitize(" ".join((reason or "").split()))
    text = cleaned.rstrip(".") if isinstance(cleaned, str) else ""
    return text[:LONGEST_REASON] or "no reason on record"
