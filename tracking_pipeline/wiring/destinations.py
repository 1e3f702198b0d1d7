"""Makes the destinations of the registry: as the settings have them, or on the sandbox for a
rehearsal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, TypeAlias

import psycopg
from psycopg_pool import AsyncConnectionPool

from tracking_pipeline.delivery.destinations.registry import REGISTRY, DestinationSpec
from tracking_pipeline.delivery.engine.destination import Destination, NotConfigured
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.database import AsyncPool, DatabaseError, connect, read_now

if TYPE_CHECKING:
    from tracking_pipeline.delivery.replay.turns import PlanningRule
    from tracking_pipeline.events.explain import ReadingRules
    from tracking_pipeline.http_client import DeliveryClient

Made: TypeAlias = Destination | NotConfigured

SANDBOX_SITE = "https://www.example.com"
_KEPT_IN_REHEARSAL = ("_retry_horizon_hours", "_max_age_days")


def configured_destinations(
    settings: Settings, client: DeliveryClient, pool: AsyncPool
) -> Sequence[Made]:
    """The destinations as the settings have them; one whose settings are missing says which."""
    missing = missing_settings(settings)
    return [
        NotConfigured(spec.name, missing[spec.name])
        if spec.name in missing
        else _made(spec, settings, client, pool)
        for spec in REGISTRY
    ]


class SandboxAddresses(Protocol):
    """The base URLs to put in the place of the platforms' own."""

    def address_of(self, destination: str) -> str: ...


def sandbox_destinations(
    settings: Settings, addresses: SandboxAddresses, client: DeliveryClient, pool: AsyncPool
) -> Sequence[Made]:
    """The destinations of a rehearsal: all of them, and nobody real behind them."""
    return configured_destinations(_rehearsing(settings, addresses), client, pool)


def preparing_destinations(settings: Settings, *, rehearsal: bool) -> Sequence[Made]:
    """The destinations of :func:`configured_destinations` or :func:`sandbox_destinations`, to be
    asked what they make of an event and for nothing else: they are connected to nothing."""
    from tracking_pipeline.http_client import http_client

    client = http_client(max_connections=1)
    pool: AsyncPool = AsyncConnectionPool("", open=False)
    if rehearsal:
        return sandbox_destinations(settings, _Nowhere(), client, pool)
    return configured_destinations(settings, client, pool)


class _Nowhere:
    """Where no sandbox runs (RFC 2606)."""

    def address_of(self, destination: str) -> str:
        return "https://sandbox.invalid"


def reading_rules(settings: Settings, *, rehearsal: bool) -> ReadingRules:
    """What the destinations read payloads by, for whoever explains what they read."""
    from tracking_pipeline.events.explain import ReadingRules

    if rehearsal:
        settings = _rehearsing(settings, _Nowhere())
    return ReadingRules.configured(settings)


def missing_settings(settings: Settings) -> dict[str, str]:
    """For each destination that is not configured, what to set."""
    found = {
        spec.name: [name for name, value in spec.required(settings).items() if not value]
        for spec in REGISTRY
    }
    return {name: f"set {_listed(unset)}" for name, unset in found.items() if unset}


def age_limits(settings: Settings) -> dict[str, timedelta]:
    """How old an event may be, by destination; one that is not in it takes any."""
    found = {spec.name: spec.age_limit(settings.model_dump()) for spec in REGISTRY}
    return {name: limit for name, limit in found.items() if limit is not None}


def planning_rule(settings: Settings, database_url: str) -> PlanningRule:
    """What the order of a replay goes by, with the values of the last weeks. Raises
    :class:`DatabaseError`."""
    from tracking_pipeline.delivery.replay.turns import PlanningRule
    from tracking_pipeline.delivery.worth import read_prices

    with connect(database_url) as connection:
        try:
            prices = read_prices(
                connection,
                read_now(connection),
                currency=settings.lead_value_currency,
                otherwise=settings.lead_value,
            )
        except psycopg.Error as error:
            raise DatabaseError(
                "the database failed while the values of conversions were read (SQLSTATE "
                f"{error.sqlstate or 'none'}): nothing is replayed, run it again"
            ) from None
    return PlanningRule(prices, age_limits(settings))


def _made(
    spec: DestinationSpec, settings: Settings, client: DeliveryClient, pool: AsyncPool
) -> Destination:
    made = spec.implementation().configured(settings, client, pool)
    in_flight = spec.own_setting(settings, "requests_in_flight")
    hours = spec.own_setting(settings, "retry_horizon_hours")
    made.limits = replace(
        made.limits,
        in_flight=in_flight or made.limits.in_flight,
        requests_per_second=spec.own_setting(settings, "requests_per_second"),
        retry_horizon=timedelta(hours=hours) if hours else made.limits.retry_horizon,
        order_window=timedelta(days=settings.order_window_days)
        if settings.once_an_order and not spec.is_store
        else None,
    )
    return made


def _rehearsing(settings: Settings, addresses: SandboxAddresses) -> Settings:
    """The settings with each destination's own put back to what they are by default, but for how
    long it is tried and for what leads to its stand-in; at no pace, and with every match key."""
    mine = {f"{spec.settings.lower()}_" for spec in REGISTRY if spec.stand_in}
    changed: dict[str, object] = {
        name: field.get_default(call_default_factory=True)
        for name, field in Settings.model_fields.items()
        if name.startswith(tuple(mine)) and not name.endswith(_KEPT_IN_REHEARSAL)
    }
    for spec in REGISTRY:
        if spec.stand_in:
            changed[f"{spec.settings.lower()}_requests_per_second"] = None
            changed[spec.url_setting] = addresses.address_of(spec.name)
            changed |= spec.rehearsal
    values = {name: getattr(settings, name) for name in Settings.model_fields}
    return Settings.model_validate(
        {
            **values,
            **changed,
            "site_url": settings.site_url or SANDBOX_SITE,
            "geo_match_keys": "all",
            "external_id": "hashed",
        }
    )


def _listed(names: list[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"
