"""Packs prepared events into requests. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracking_pipeline.delivery.engine.destination import Limits
from tracking_pipeline.delivery.engine.events import Prepared


def pack(ready: Sequence[Prepared], limits: Limits) -> Iterator[list[Prepared]]:
    """The events in requests of one ``shared`` part each that keep the destination's bounds on
    number and size. An event that is larger than a request goes alone."""
    groups: dict[bytes, list[Prepared]] = {}
    for prepared in ready:
        groups.setdefault(prepared.shared, []).append(prepared)
    for shared, members in groups.items():
        yield from _within_bounds(members, len(shared), limits)


def _within_bounds(
    members: Sequence[Prepared], shared: int, limits: Limits
) -> Iterator[list[Prepared]]:
    batch: list[Prepared] = []
    size = shared
    for prepared in members:
        length = len(prepared.body) + 1
        if batch and (len(batch) >= limits.request_events or size + length > limits.request_bytes):
            yield batch
            batch, size = [], shared
        batch.append(prepared)
        size += length
    if batch:
        yield batch
