"""What people call destinations, reasons, geolocation providers and the states of runs. Pure."""

from __future__ import annotations

from tracking_pipeline.delivery.destinations.registry import REGISTRY
from tracking_pipeline.health.formatting import capital
from tracking_pipeline.identity import plain_reason

_DESTINATION_TITLES = {spec.name: spec.title for spec in REGISTRY}
REASON_WORDS = {
    "expired": "Too old for the destination",
    "max_retries": "Still failing after the last retry",
    "worker_crash": "Workers were lost again and again while they held this event, at last alone",
    "unknown": "No reason on record",
}
SOURCE_WORDS = {
    "user": "The visitor",
    "session": "The visitor's session",
    "mmdb": "Local IP database",
    "ip_api": "ip-api",
    "ipinfo": "ipinfo",
}
RUN_STATE_WORDS = {
    "SUCCESS": "Succeeded",
    "FAILURE": "Failed",
    "STARTED": "Running",
    "STARTING": "Starting",
    "QUEUED": "Queued",
    "NOT_STARTED": "Queued",
    "CANCELING": "Being stopped",
    "CANCELED": "Stopped",
}


def reason(text: str) -> str:
    """Why events were given up, in words; what others wrote loses its personal data."""
    return REASON_WORDS.get(text) or capital(plain_reason(text))


def destination(name: str) -> str:
    """The destination's name for people."""
    return _DESTINATION_TITLES.get(name, name)
