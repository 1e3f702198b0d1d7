"""Which sources of places serve, and what is said of those that do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tracking_pipeline.geo.mmdb import database_file
from tracking_pipeline.geo.provider import GeoProviders
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.settings import Settings, read_settings
from tracking_pipeline.wiring.geo import (
    configured_providers,
    missing_geo_file,
    sandbox_providers,
)
from tracking_pipeline_tests.geo.asking import TODAY, locate, time_enough
from tracking_pipeline_tests.geo.databases import BERLIN, write_database

NOBODY: Any = None  # neither client nor pool is used by the making of a provider


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    def read(**variables: str) -> Settings:
        monkeypatch.setenv("TRACKING_HOME", str(tmp_path))
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return read_settings()

    return read


def configured(settings: Settings) -> GeoProviders:
    return configured_providers(settings, NOBODY, NOBODY, today=TODAY, seconds_left=time_enough)


def serving(settings: Settings) -> list[str]:
    return [provider.name for provider in configured(settings).serving]


def test_nobody_is_asked_who_was_not_chosen(settings: Any) -> None:
    made = configured(settings())
    assert made.serving == ()
    assert made.missing == {
        "mmdb": "run tracking-pipeline geo update, or set GEO_MMDB_PATH",
        "ip_api": "set IP_API_KEY, or IP_API_URL=http://ip-api.com for the free service",
        "ipinfo": "set IPINFO_TOKEN",
    }


def test_providers_serve_in_the_order_of_the_setting(settings: Any) -> None:
    chosen = {"IPINFO_TOKEN": "t", "IP_API_URL": "http://ip-api.com", "GEO_MMDB_PATH": "/x.mmdb"}
    assert serving(settings(**chosen)) == ["mmdb", "ip_api", "ipinfo"]
    assert serving(settings(GEO_PROVIDERS="ipinfo, mmdb,ipinfo")) == ["ipinfo", "mmdb"]


def test_a_provider_that_is_not_in_the_list_is_neither_asked_nor_missed(settings: Any) -> None:
    made = configured(settings(GEO_PROVIDERS="mmdb", IPINFO_TOKEN="t"))
    assert made.serving == ()
    assert made.missing.keys() == {"mmdb"}


def test_a_file_that_is_not_there_is_told_and_may_come_back(settings: Any, tmp_path: Path) -> None:
    file = tmp_path / "places.mmdb"
    chosen = settings(GEO_MMDB_PATH=str(file))
    assert str(file) in missing_geo_file(chosen)["mmdb"]
    assert serving(chosen) == ["mmdb"]
    write_database(file, {"192.0.2.0/24": BERLIN})
    assert missing_geo_file(chosen) == {}


def test_a_file_that_knows_countries_only_is_told_where_nobody_else_serves(
    settings: Any, tmp_path: Path
) -> None:
    file = write_database(
        tmp_path / "a.mmdb", {"192.0.2.0/24": {"country_code": "DE"}}, kind="ipinfo country"
    )
    alone = missing_geo_file(settings(GEO_MMDB_PATH=str(file)))
    assert alone["mmdb"].startswith(f"{file} knows countries only")
    assert missing_geo_file(settings(GEO_MMDB_PATH=str(file), IPINFO_TOKEN="t")) == {}


@pytest.mark.parametrize("is_configured", [True, False])
def test_a_file_that_was_cut_short_is_told(
    settings: Any, tmp_path: Path, is_configured: bool
) -> None:
    file = tmp_path / "places.mmdb" if is_configured else database_file(tmp_path)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_database(file, {"192.0.2.0/24": BERLIN})
    chosen = settings(GEO_MMDB_PATH=str(file)) if is_configured else settings()
    assert missing_geo_file(chosen) == {}
    whole = file.read_bytes()
    for length in (0, len(whole) // 2):
        file.write_bytes(whole[:length])
        assert missing_geo_file(chosen) == {"mmdb": f"{file} is no whole MMDB file: replace it"}


def test_a_downloaded_database_serves_without_a_setting(settings: Any, tmp_path: Path) -> None:
    database_file(tmp_path).parent.mkdir(parents=True)
    database_file(tmp_path).touch()
    assert serving(settings()) == ["mmdb"]


@pytest.mark.parametrize(
    ("url", "key", "asked"),
    [
        ("http://ip-api.com", None, "http://ip-api.com/batch?fields="),
        (None, "k&1", "https://pro.ip-api.com/batch?fields="),
        ("http://ip-api.com/", "k&1", "https://pro.ip-api.com/batch?fields="),
        ("https://proxy.example.com/ip", "k&1", "https://proxy.example.com/ip/batch?fields="),
    ],
)
def test_a_key_is_for_the_paid_service_over_https(
    settings: Any, url: str | None, key: str | None, asked: str
) -> None:
    variables = {"IP_API_URL": url, "IP_API_KEY": key}
    [provider] = configured(settings(**{n: v for n, v in variables.items() if v})).serving
    requested = provider._url  # type: ignore[attr-defined]
    assert requested.startswith(asked)
    assert requested.endswith("&key=k%261") == (key is not None)


@pytest.mark.parametrize(
    "url", ["http://proxy.example.com", "http://[", "http://127.0.0.1.example"]
)
def test_no_secret_goes_over_plain_http_to_another_machine(settings: Any, url: str) -> None:
    made = configured(settings(IP_API_URL=url, IP_API_KEY="k", IPINFO_URL=url, IPINFO_TOKEN="t"))
    assert made.serving == ()
    assert "IP_API_URL must start with https://" in made.missing["ip_api"]
    assert made.missing["ipinfo"] == "IPINFO_URL must start with https://"


def test_a_rehearsal_asks_the_sandbox_and_nobody_else(database_url: str, sandbox: Sandbox) -> None:
    made: list[GeoProviders] = []

    def make(client: Any, pool: Any) -> Any:
        made.append(sandbox_providers(sandbox, client, pool, today=TODAY, seconds_left=time_enough))
        return made[0].serving[0]

    locate(database_url, make, ["8.8.8.8"])
    assert len(made[0].serving) == 1
    assert sandbox.ip_api.asked == {"8.8.8.8": 1}
