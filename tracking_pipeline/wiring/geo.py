"""The sources of places that serve a run: as the settings have them, or the sandbox's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from tracking_pipeline.geo import mmdb
from tracking_pipeline.geo.mmdb import MmdbProvider, database_file
from tracking_pipeline.geo.provider import GeoProviders, Provider
from tracking_pipeline.settings import GeoProvider, Settings
from tracking_pipeline.store.database import AsyncPool

if TYPE_CHECKING:
    from tracking_pipeline.geo.online import SecondsLeft
    from tracking_pipeline.http_client import DeliveryClient

FREE_URL = "http://ip-api.com"
PAID_URL = "https://pro.ip-api.com"

_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


def configured_providers(
    settings: Settings,
    client: DeliveryClient,
    pool: AsyncPool,
    *,
    today: date,
    seconds_left: SecondsLeft,
) -> GeoProviders:
    """The providers of ``GEO_PROVIDERS``, without those whose settings are missing.

    ``pool`` is for what workers tell each other about the online ones; ``today`` goes into their
    ``source``; ``seconds_left`` tells how much of its time the run has left.
    """
    from tracking_pipeline.geo.ip_api import IpApi
    from tracking_pipeline.geo.ipinfo import IpInfo

    makers: dict[GeoProvider, Callable[[], Provider]] = {
        "mmdb": lambda: MmdbProvider(_mmdb_path(settings)),
        "ip_api": lambda: IpApi(
            client,
            pool,
            url=_ip_api_url(settings),
            key=settings.ip_api_key.get_secret_value() if settings.ip_api_key else None,
            today=today,
            seconds_left=seconds_left,
        ),
        "ipinfo": lambda: IpInfo(
            client,
            pool,
            url=settings.ipinfo_url,
            token=settings.ipinfo_token.get_secret_value() if settings.ipinfo_token else "",
            today=today,
            seconds_left=seconds_left,
        ),
    }
    missing = missing_geo_settings(settings)
    names = dict.fromkeys(settings.geo_providers)
    return GeoProviders(tuple(makers[name]() for name in names if name not in missing), missing)


class GeoAddresses(Protocol):
    """The base URLs to put in the place of the geo services' own."""

    @property
    def ip_api_url(self) -> str: ...


def sandbox_providers(
    addresses: GeoAddresses,
    client: DeliveryClient,
    pool: AsyncPool,
    *,
    today: date,
    seconds_left: SecondsLeft,
) -> GeoProviders:
    """The provider of a rehearsal: the sandbox's ip-api, and nobody real, whatever is set."""
    from tracking_pipeline.geo.ip_api import IpApi

    provider = IpApi(client, pool, url=addresses.ip_api_url, today=today, seconds_left=seconds_left)
    return GeoProviders((provider,), {})


def local_provider(settings: Settings) -> MmdbProvider | None:
    """The local file where it is the first of the providers that serve, so that what it says of an
    address is what a run would say; else None."""
    missing = missing_geo_settings(settings)
    first = next((name for name in settings.geo_providers if name not in missing), None)
    return MmdbProvider(_mmdb_path(settings)) if first == mmdb.NAME else None


def missing_geo_settings(settings: Settings) -> dict[str, str]:
    """For each provider of ``GEO_PROVIDERS`` that cannot serve, what to do about it."""
    needs: dict[GeoProvider, Callable[[Settings], str | None]] = {
        "mmdb": _missing_for_mmdb,
        "ip_api": _missing_for_ip_api,
        "ipinfo": _missing_for_ipinfo,
    }
    found = {name: needs[name](settings) for name in settings.geo_providers}
    return {name: missing for name, missing in found.items() if missing}


def missing_geo_file(settings: Settings) -> dict[str, str]:
    """What to do where the local file is not there, was cut short, or knows countries only and
    nobody else serves, by its provider. Whether all
    of it can serve, only a run tells: opening one takes a copy of it."""
    if mmdb.NAME not in settings.geo_providers:
        return {}
    path = settings.geo_mmdb_path
    if path is not None and not path.is_file():
        return {mmdb.NAME: f"there is no file {path}: correct GEO_MMDB_PATH, or put it there"}
    path = path or database_file(settings.home)
    if path.is_file() and not mmdb.has_end(path):
        return {mmdb.NAME: f"{path} is no whole MMDB file: replace it"}
    serving = set(settings.geo_providers) - missing_geo_settings(settings).keys()
    if serving == {mmdb.NAME} and mmdb.is_of_countries(path):
        return {mmdb.NAME: f"{path} {mmdb.ONLY_COUNTRIES}"}
    return {}


def _missing_for_mmdb(settings: Settings) -> str | None:
    # A path that was set on purpose serves or is reported: the file may come back.
    if settings.geo_mmdb_path or database_file(settings.home).is_file():
        return None
    return "run tracking-pipeline geo update, or set GEO_MMDB_PATH"


def _missing_for_ip_api(settings: Settings) -> str | None:
    if settings.ip_api_key is None:
        if settings.ip_api_url is None:
            return f"set IP_API_KEY, or IP_API_URL={FREE_URL} for the free service"
        return None
    if _keeps_secrets(_ip_api_url(settings)):
        return None
    return "IP_API_URL must start with https:// where IP_API_KEY is set"


def _missing_for_ipinfo(settings: Settings) -> str | None:
    if settings.ipinfo_token is None:
        return "set IPINFO_TOKEN"
    return None if _keeps_secrets(settings.ipinfo_url) else "IPINFO_URL must start with https://"


def _mmdb_path(settings: Settings) -> Path:
    return settings.geo_mmdb_path or database_file(settings.home)


def _ip_api_url(settings: Settings) -> str:
    """The free service takes no key, so a key that is set beside its URL is for the paid one."""
    if settings.ip_api_key and settings.ip_api_url in (None, FREE_URL):
        return PAID_URL
    return settings.ip_api_url or FREE_URL


def _keeps_secrets(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" or parts.hostname in _THIS_MACHINE
