"""What a dead destination costs a healthy one beside it, in one retry run over both.

The healthy one's rate counts to the end of its own last attempt, by the database's clock: a run
over a destination that hangs lasts as long as its timeouts, whoever else is long done.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import replace

import psycopg
from typing_extensions import LiteralString

from benchmarks.retry_stand import Addresses, Stand, drain
from tracking_pipeline.delivery.destinations.registry import DestinationName

_SECONDS_TO_LAST: LiteralString = """
select count(*), extract(epoch from max(attempted_at) - %s)::float8
from tracking_delivery_attempts where destination = %s and outcome = 'delivered'
"""


def rate_alone(stand: Stand, healthy: DestinationName, events: int) -> float:
    with stand.database(**{healthy: events}) as url:
        return _rate(url, healthy, [healthy], events, stand.addresses)


def rate_beside_refusing(stand: Stand, healthy: DestinationName, events: int) -> float:
    """Beside ``gtm_server`` at a port where nobody listens."""
    with stand.database(gtm_server=events, **{healthy: events}) as url:
        addresses = replace(stand.addresses, gtm=f"http://127.0.0.1:{_closed_port()}")
        return _rate(url, healthy, [healthy, "gtm_server"], events, addresses)


def rate_beside_hanging(stand: Stand, healthy: DestinationName, events: int) -> float:
    """Beside ``google_ec`` that takes each request and never answers."""
    stand.set_conditions("google_ec", outage="timeout")
    try:
        with stand.database(google_ec=events, **{healthy: events}) as url:
            return _rate(url, healthy, [healthy, "google_ec"], events, stand.addresses)
    finally:
        stand.set_conditions("google_ec", outage=None)


def _rate(
    url: str,
    healthy: DestinationName,
    names: Sequence[DestinationName],
    events: int,
    addresses: Addresses,
) -> float:
    with psycopg.connect(url, autocommit=True) as connection:
        (started,) = connection.execute("select now()").fetchall()[0]
        drain(url, names, addresses)
        delivered, seconds = connection.execute(_SECONDS_TO_LAST, [started, healthy]).fetchall()[0]
    if delivered != events:
        raise RuntimeError(f"{delivered} of {events} events reached {healthy}")
    return float(events / seconds)


def _closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
