"""Makes the four destinations: as the settings have them, or on the sandbox for a rehearsal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeAlias, TypeVar
from zoneinfo import ZoneInfo

from psycopg_pool import AsyncConnectionPool

from tracking_pipeline.delivery.destinations.google.credentials import (
    AccessToken,
    Credentials,
    CredentialsFile,
)
from tracking_pipeline.delivery.destinations.google.enhanced_conversions import (
    GoogleAccount,
    GoogleEc,
)
from tracking_pipeline.delivery.destinations.gtm.server import GtmContainer, GtmServer
from tracking_pipeline.delivery.destinations.ledger import Ledger
from tracking_pipeline.delivery.destinations.meta.capi import MetaAccount, MetaCapi
from tracking_pipeline.delivery.engine.destination import Destination, NotConfigured
from tracking_pipeline.events.explain import ReadingRules
from tracking_pipeline.events.policy import ReadingPolicy
from tracking_pipeline.http_client import DeliveryClient, http_client
from tracking_pipeline.sandbox.addresses import SandboxAddresses
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.database import AsyncPool

Made: TypeAlias = Destination | NotConfigured
MadeT = TypeVar("MadeT", MetaCapi, GoogleEc, GtmServer)

SANDBOX_SITE = "https://www.example.com"


def configured_destinations(
    settings: Settings, client: DeliveryClient, pool: AsyncPool
) -> Sequence[Made]:
    """The destinations as the settings have them; one whose settings are missing says which."""
    missing = missing_settings(settings)
    makers: dict[str, Callable[[], Made]] = {
        "meta_capi": lambda: _meta(settings, client),
        "google_ec": lambda: _google(settings, client, pool),
        "gtm_server": lambda: _gtm(settings, client),
    }
    made = [
        NotConfigured(name, missing[name]) if name in missing else make()  # type: ignore[arg-type]
        for name, make in makers.items()
    ]
    ledger = Ledger(pool, country=settings.default_country, policy=reading_policy(settings))
    return _tried_as_long_as_set([*made, ledger], settings)


def preparing_destinations(settings: Settings, *, rehearsal: bool) -> Sequence[Made]:
    """The destinations of :func:`configured_destinations` or :func:`sandbox_destinations`, to be
    asked what they make of an event and for nothing else: they are connected to nothing."""
    client = http_client(max_connections=1)
    pool: AsyncPool = AsyncConnectionPool("", open=False)
    if rehearsal:
        return sandbox_destinations(settings, _Nowhere(), client, pool)
    return configured_destinations(settings, client, pool)


class _Nowhere:
    """Where no sandbox runs (RFC 2606)."""

    meta_url = google_url = gtm_url = "https://sandbox.invalid"


def reading_policy(settings: Settings) -> ReadingPolicy:
    """How this site wants its payloads to be read."""
    zone = settings.site_timezone
    return ReadingPolicy(
        zone=ZoneInfo(zone) if zone else None,
        consent_default=settings.consent_default,
        denied_consent_ids=frozenset(settings.denied_consent_ids),
        privacy_control=settings.global_privacy_control,
        longest_wait=timedelta(hours=settings.future_events_wait_hours),
    )


def reading_rules(settings: Settings, *, rehearsal: bool) -> ReadingRules:
    """What the destinations read payloads by, for whoever explains what they read."""
    rules = ReadingRules(
        policy=reading_policy(settings),
        site_url=settings.site_url,
        country=settings.default_country,
        geo_match_keys=settings.geo_match_keys,
        external_id=settings.external_id,
    )
    if rehearsal:
        site = settings.site_url or SANDBOX_SITE
        return replace(rules, site_url=site, geo_match_keys="all", external_id="hashed")
    return rules


def missing_settings(settings: Settings) -> dict[str, str]:
    """For each destination that is not configured, what to set."""
    google_key = settings.google_application_credentials or settings.google_access_token
    required: dict[str, dict[str, object]] = {
        "meta_capi": {
            "META_DATASET_ID": settings.meta_dataset_id,
            "META_ACCESS_TOKEN": settings.meta_access_token,
        },
        "google_ec": {
            "GOOGLE_ADS_ACCOUNT_ID": settings.google_ads_account_id,
            "GOOGLE_CONVERSION_ACTION_ID": settings.google_conversion_action_id,
            "GOOGLE_APPLICATION_CREDENTIALS (or GOOGLE_ACCESS_TOKEN)": google_key,
        },
        "gtm_server": {"GTM_SERVER_URL": settings.gtm_server_url},
    }
    if settings.gtm_server_protocol == "measurement_protocol":
        required["gtm_server"] |= {
            "GTM_MEASUREMENT_ID": settings.gtm_measurement_id,
            "GTM_API_SECRET": settings.gtm_api_secret,
        }
    found = {
        destination: [name for name, value in variables.items() if not value]
        for destination, variables in required.items()
    }
    return {name: f"set {_listed(unset)}" for name, unset in found.items() if unset}


def sandbox_destinations(
    settings: Settings, addresses: SandboxAddresses, client: DeliveryClient, pool: AsyncPool
) -> Sequence[Made]:
    """The destinations of a rehearsal: all four, and nobody real behind them."""
    country = settings.default_country
    site = settings.site_url or SANDBOX_SITE
    policy = reading_policy(settings)
    made: list[Made] = [
        MetaCapi(
            MetaAccount("1000000000000001", "sandbox-token", url=addresses.meta_url),
            client,
            country=country,
            site_url=site,
            policy=policy,
        ),
        GoogleEc(
            GoogleAccount("1000000001", "2000000002", url=addresses.google_url),
            AccessToken("sandbox-token"),
            client,
            pool,
            country=country,
            site_url=site,
            policy=policy,
        ),
        GtmServer(
            GtmContainer(addresses.gtm_url),
            client,
            country=country,
            site_url=site,
            policy=policy,
        ),
        Ledger(pool, country=country, policy=policy),
    ]
    return _tried_as_long_as_set(made, settings)


def meta_account(settings: Settings) -> MetaAccount | None:
    """Meta's dataset and the right to it; None where they are not set."""
    if not settings.meta_dataset_id or not settings.meta_access_token:
        return None
    secret = settings.meta_app_secret
    return MetaAccount(
        dataset_id=settings.meta_dataset_id,
        access_token=settings.meta_access_token.get_secret_value(),
        app_secret=secret.get_secret_value() if secret else None,
        url=settings.meta_graph_url,
        api_version=settings.meta_api_version,
        test_event_code=settings.meta_test_event_code,
    )


def _meta(settings: Settings, client: DeliveryClient) -> MetaCapi:
    account = meta_account(settings)
    assert account is not None  # noqa: S101  what is missing was seen before
    meta = MetaCapi(
        account,
        client,
        country=settings.default_country,
        site_url=settings.site_url,
        geo_match_keys=settings.geo_match_keys,
        external_id=settings.external_id,
        policy=reading_policy(settings),
    )
    return _limited(meta, settings.meta_requests_in_flight, settings.meta_requests_per_second)


def _google(settings: Settings, client: DeliveryClient, pool: AsyncPool) -> GoogleEc:
    assert settings.google_ads_account_id and settings.google_conversion_action_id  # noqa: S101, PT018
    google = GoogleEc(
        GoogleAccount(
            account_id=settings.google_ads_account_id,
            conversion_action_id=settings.google_conversion_action_id,
            login_account_id=settings.google_ads_login_account_id,
            url=settings.google_data_manager_url,
        ),
        _google_credentials(settings),
        client,
        pool,
        country=settings.default_country,
        site_url=settings.site_url,
        geo_match_keys=settings.geo_match_keys,
        max_age=timedelta(days=settings.google_max_age_days),
        policy=reading_policy(settings),
    )
    return _limited(google, settings.google_requests_in_flight, settings.google_requests_per_second)


def _google_credentials(settings: Settings) -> Credentials:
    if settings.google_access_token is not None:
        return AccessToken(settings.google_access_token.get_secret_value())
    assert settings.google_application_credentials is not None  # noqa: S101
    return CredentialsFile(settings.google_application_credentials)


def _gtm(settings: Settings, client: DeliveryClient) -> GtmServer:
    assert settings.gtm_server_url is not None  # noqa: S101
    secret, preview = settings.gtm_api_secret, settings.gtm_preview_token
    gtm = GtmServer(
        GtmContainer(
            url=settings.gtm_server_url,
            protocol=settings.gtm_server_protocol,
            accept_multiple_events=settings.gtm_accept_multiple_events,
            measurement_id=settings.gtm_measurement_id,
            api_secret=secret.get_secret_value() if secret else None,
            preview_token=preview.get_secret_value() if preview else None,
        ),
        client,
        country=settings.default_country,
        site_url=settings.site_url,
        geo_match_keys=settings.geo_match_keys,
        policy=reading_policy(settings),
    )
    return _limited(gtm, settings.gtm_requests_in_flight, settings.gtm_requests_per_second)


def _limited(made: MadeT, in_flight: int | None, per_second: float | None) -> MadeT:
    made.limits = replace(
        made.limits,
        in_flight=in_flight or made.limits.in_flight,
        requests_per_second=per_second,
    )
    return made


def _tried_as_long_as_set(made: Sequence[Made], settings: Settings) -> Sequence[Made]:
    """The destinations, each with the horizon of its retries."""
    for each in made:
        hours = settings.retry_horizon_hours[each.name]
        if hours is not None and not isinstance(each, NotConfigured):
            each.limits = replace(each.limits, retry_horizon=timedelta(hours=hours))
    return made


def _listed(names: list[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"
