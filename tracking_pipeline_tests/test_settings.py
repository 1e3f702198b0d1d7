"""Settings come from the environment and ``.env``; a bad one is named, never quoted."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from tracking_pipeline.delivery.destinations import registry
from tracking_pipeline.settings import (
    Settings,
    SettingsError,
    project_folder,
    read_settings,
    unknown_names,
)
from tracking_pipeline_tests.servers import reachable_folder


def test_blank_variables_count_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("META_ACCESS_TOKEN", "")
    monkeypatch.setenv("TRACKING_DATABASE_URL", "")
    settings = read_settings()
    assert settings.meta_access_token is None
    assert settings.nothing_configured


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRACKING_DATABASE_URL", "mysql://u:s3cret@h/d"),
        ("META_DATASET_ID", "s3cret"),
        ("META_API_VERSION", "s3cret"),
        ("META_GRAPH_URL", "ftp://s3cret"),
        ("GOOGLE_TRANSACTION_ID_PREFIX", "s3cret/"),
        ("GEO_MATCH_KEYS", "s3cret"),
        ("EXTERNAL_ID", "s3cret"),
        ("GEO_PROVIDERS", "mmdb,s3cret"),
        ("IP_API_URL", "s3cret"),
        ("IP_RETENTION_DAYS", "s3cret"),
        ("IP_RETENTION", "s3cret"),
        ("DEFAULT_COUNTRY", "s3cret"),
        ("TRACKING_REHEARSAL", "s3cret"),
        ("SUPABASE_JWT_SECRET", "s3cret"),
        ("SUPABASE_JWKS_URL", "s3cret"),
        ("CORS_ORIGINS", "https://www.example.com,https://www.example.com/s3cret"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,s3cret"),
        ("LOG_EVENT_FORWARD_TO", "meta_capi,s3cret"),
        ("INTAKE_REQUESTS_PER_MINUTE", "s3cret"),
        ("MAX_BODY_BYTES", "s3cret"),
        ("LEAD_VALUE", "s3cret"),
        ("LEAD_VALUE_CURRENCY", "s3cret"),
    ],
)
def test_a_value_of_the_wrong_form_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert str(caught.value).startswith(name)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "limit", "others"),
    [
        ("META_RETRY_HORIZON_HOURS", registry.META_MAX_AGE, {}),
        ("GOOGLE_RETRY_HORIZON_HOURS", timedelta(days=54), {}),
        ("GOOGLE_RETRY_HORIZON_HOURS", timedelta(days=3), {"GOOGLE_MAX_AGE_DAYS": "3"}),
        (
            "GTM_RETRY_HORIZON_HOURS",
            registry.MEASUREMENT_PROTOCOL_MAX_AGE,
            {"GTM_SERVER_PROTOCOL": "measurement_protocol"},
        ),
        ("GTM_RETRY_HORIZON_HOURS", timedelta(days=365), {}),
        ("SUPABASE_RETRY_HORIZON_HOURS", timedelta(days=365), {}),
    ],
)
def test_a_retry_horizon_reaches_as_far_as_events_are_accepted(
    monkeypatch: pytest.MonkeyPatch, name: str, limit: timedelta, others: dict[str, str]
) -> None:
    for variable, value in others.items():
        monkeypatch.setenv(variable, value)
    hours = limit / timedelta(hours=1)
    monkeypatch.setenv(name, str(hours))
    assert hours == getattr(read_settings(), name.lower())
    for wrong in (hours + 1, 0, "s3cret"):
        monkeypatch.setenv(name, str(wrong))
        with pytest.raises(SettingsError) as caught:
            read_settings()
        assert str(caught.value).startswith(name)
        assert "s3cret" not in str(caught.value)


def test_no_retry_horizon_is_set_by_default() -> None:
    settings = read_settings()
    assert all(
        getattr(settings, spec.variable("retry_horizon_hours").lower()) is None
        for spec in registry.REGISTRY
    )


@pytest.mark.parametrize("written", ["ipinfo,mmdb", " ipinfo , mmdb, "])
def test_geo_providers_are_written_with_commas(
    monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    assert read_settings().geo_providers == ("mmdb", "ip_api", "ipinfo")
    monkeypatch.setenv("GEO_PROVIDERS", written)
    assert read_settings().geo_providers == ("ipinfo", "mmdb")


def test_the_file_beside_the_workspace_is_read_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "workspace.yaml").touch()
    (tmp_path / ".env-of-the-tests").write_text("META_DATASET_ID=1\nMETA_API_VERSION=v25.0\n")
    inside = tmp_path / "deeper"
    inside.mkdir()
    monkeypatch.chdir(inside)
    monkeypatch.setenv("META_API_VERSION", "v26.0")
    assert project_folder() == tmp_path
    settings = read_settings()
    assert settings.meta_dataset_id == "1"
    assert settings.meta_api_version == "v26.0"


def test_secrets_do_not_print(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("META_ACCESS_TOKEN", "s3cret")
    monkeypatch.setenv("TRACKING_DATABASE_URL", "postgresql://u:s3cret@h/d")
    assert "s3cret" not in repr(read_settings())
    assert "s3cret" not in str(read_settings().model_dump())


@pytest.fixture
def open_folder() -> Path:
    return reachable_folder()


def test_home_is_beside_the_workspace(monkeypatch: pytest.MonkeyPatch, open_folder: Path) -> None:
    open_folder.chmod(0o711)
    (open_folder / "workspace.yaml").touch()
    monkeypatch.chdir(open_folder)
    assert read_settings().home == open_folder / ".tracking"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_a_project_closed_to_others_has_its_home_where_the_server_can_go(
    monkeypatch: pytest.MonkeyPatch, open_folder: Path
) -> None:
    open_folder.chmod(0o700)
    (open_folder / "workspace.yaml").touch()
    monkeypatch.chdir(open_folder)
    assert read_settings().home.parent == Path("/var/lib/tracking_pipeline")
    monkeypatch.setenv("TRACKING_HOME", str(open_folder / "mine"))
    assert read_settings().home == open_folder / "mine"


@pytest.mark.parametrize(
    "address",
    [
        "https://sgtm.shop.example/data",
        "https://sgtm.shop.example/data/",
        "https://sgtm.shop.example/mp/collect",
        "https://sgtm.shop.example/MP/Collect",
        "https://sgtm.shop.example/metrics/g/collect",
        "https://sgtm.shop.example/?api_secret=s3cret",
        "https://sgtm.shop.example?",
        "https://sgtm.shop.example/#s3cret",
        "https://user:s3cret@sgtm.shop.example",
        "https://s3cret@sgtm.shop.example/metrics",
        "https://sgtm.shop.example:s3cret",
        "https://[s3cret]/",
        "sgtm.shop.example",
    ],
)
def test_an_address_to_which_no_path_can_be_added_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("GTM_SERVER_URL", address)
    with pytest.raises(SettingsError, match="GTM_SERVER_URL cannot be used") as caught:
        read_settings()
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "https://sgtm.shop.example",
        "https://sgtm.shop.example/",
        "http://127.0.0.1:8080/metrics/",
        "https://shop.example/mydata",
        "https://data.shop.example",
    ],
)
def test_a_containers_address_may_have_a_path(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("GTM_SERVER_URL", address)
    assert read_settings().gtm_server_url == address.rstrip("/")


# What echo, mounted secrets, base64, spreadsheets and web pages leave around a value.
AROUND = ["\n", "\r\n", " ", "\t", "\ufeff", "\u00a0", "\u200b", "\u2060", " \n\u200e"]
SECRETS = [
    name.upper()
    for name, field in Settings.model_fields.items()
    if "SecretStr" in str(field.annotation) or "SecretStr" in str(field.metadata)
]


def start_of(name: str) -> str:
    """What the value of a secret that is an address must start with."""
    if name == "DEAD_MANS_SWITCH_URL":
        return "https://"
    return "postgresql://" if name.endswith("_URL") else ""


def shown(name: str) -> str:
    value = getattr(read_settings(), name.lower())
    return str(value.get_secret_value() if isinstance(value, SecretStr) else value)


@pytest.mark.parametrize("around", [*AROUND, "'", '"'], ids=ascii)
@pytest.mark.parametrize("name", [*SECRETS, "META_DATASET_ID", "GOOGLE_APPLICATION_CREDENTIALS"])
def test_what_stands_around_a_value_is_no_part_of_it(
    monkeypatch: pytest.MonkeyPatch, name: str, around: str
) -> None:
    start = start_of(name)
    meant = f"{start}u:p@h/d" if start else "1234567890" * 4
    closing = around if around in ("'", '"') else around[::-1]
    monkeypatch.setenv(name, around + meant + closing)
    assert shown(name) == meant


@pytest.mark.parametrize("value", ["\n", " \u200b ", "''", '" "'])
def test_nothing_but_what_stands_around_is_unset(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("META_ACCESS_TOKEN", value)
    monkeypatch.setenv("META_API_VERSION", value)
    assert read_settings().meta_access_token is None
    assert read_settings().meta_api_version == "v26.0"
    assert read_settings().nothing_configured


@pytest.mark.parametrize("inside", ["\n", "\r", "\t", "\x00", "\x7f", "\x85"], ids=ascii)
@pytest.mark.parametrize("name", [name for name in SECRETS if name != "ALERT_CHANNELS"])
def test_a_secret_in_two_lines_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, inside: str
) -> None:
    if inside != "\x00":  # no environment can hold it
        start = f"{start_of(name)}u:" if start_of(name) else "s3cret" * 8
        monkeypatch.setenv(name, f"{start}{inside}s3cret@h/d")
        with pytest.raises(SettingsError, match=f"^{name} cannot be used: ") as caught:
            read_settings()
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("token", ["EAAB s3cret", "EAAB\u200bs3cret", "\u201cs3cret\u201d"])
def test_a_token_that_no_header_can_carry_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("GOOGLE_ACCESS_TOKEN", token)
    with pytest.raises(SettingsError, match=r"^GOOGLE_ACCESS_TOKEN cannot be used: ") as caught:
        read_settings()
    assert "s3cret" not in str(caught.value)


@pytest.fixture
def env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    (tmp_path / "workspace.yaml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".env-of-the-tests"


@pytest.mark.parametrize(
    "line",
    [
        "META_DATASET_ID=1",
        "export META_DATASET_ID=1",
        "META_DATASET_ID = 1",
        "META_DATASET_ID='1' # of the shop",
        'META_DATASET_ID="1"',
        "META_DATASET_ID=1 # of the shop",
        "  META_DATASET_ID=1",
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=ascii)
def test_the_usual_forms_of_an_env_file_are_read(env_file: Path, line: str, end: str) -> None:
    env_file.write_bytes(f"\ufeff# settings{end}{end}{line}{end}".encode())
    assert read_settings().meta_dataset_id == "1"


@pytest.mark.parametrize(
    "line",
    [
        'TRACKING_DATABASE_URL="postgresql://u:s3cret@db.example.com/d',
        "TRACKING_DATABASE_URL='postgresql://u:s3cret@db.example.com/d",
        'META_ACCESS_TOKEN="s3cret"x',
        "META_ACCESS_TOKEN: s3cret",
        "META_ACCESS_TOKEN",
        "META-ACCESS-TOKEN=s3cret",
        "set META_ACCESS_TOKEN=s3cret",
        "META_ACCESS_TOKEN=s3c\0ret",
        "<<<<<<< HEAD",
    ],
)
def test_an_env_file_that_cannot_be_read_wholly_is_refused_by_its_line(
    env_file: Path, line: str
) -> None:
    env_file.write_text(f"# settings\nMETA_DATASET_ID=1\n{line}\nGTM_MEASUREMENT_ID=G-1\n")
    with pytest.raises(SettingsError, match=r"^\.env-of-the-tests, line 3: ") as caught:
        read_settings()
    assert "s3c" not in str(caught.value)


def test_an_env_file_that_is_a_folder_is_named(env_file: Path) -> None:
    env_file.mkdir()
    with pytest.raises(SettingsError, match=r"^\.env-of-the-tests is not a regular file"):
        read_settings()


def test_a_path_may_begin_at_home(monkeypatch: pytest.MonkeyPatch, env_file: Path) -> None:
    env_file.write_text("GEO_MMDB_PATH=~/city.mmdb\nGOOGLE_APPLICATION_CREDENTIALS=~/key.json\n")
    settings = read_settings()
    assert settings.geo_mmdb_path == Path.home() / "city.mmdb"
    assert settings.google_application_credentials == Path.home() / "key.json"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("META_ACESS_TOKEN", "META_ACCESS_TOKEN"),
        ("META_DATASETID", "META_DATASET_ID"),
        ("GTM_SERVER_URI", "GTM_SERVER_URL"),
        ("TRACKING_DATABASE", "TRACKING_DATABASE_URL"),
        ("TRACKING_DB_URL", "TRACKING_DATABASE_URL"),
        ("FAILED_EVENT_CRITICAL", "FAILED_EVENTS_CRITICAL"),
        ("ALERT_CHANNEL", "ALERT_CHANNELS"),
    ],
)
def test_a_setting_that_is_written_wrong_is_told(written: str, meant: str) -> None:
    assert unknown_names(["PATH", written]) == [(written, meant)]


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "HOME", "LANG", "GOOGLE_CLOUD_PROJECT", "GOOGLE_API_KEY", "SUPABASE_URL"),
        *("SUPABASE_ANON_KEY", "DAGSTER_HOME", "META_PIXEL_ID", "DATABASE_URL", "PGHOST"),
        *("TRACKING_DEBUG", "meta_access_token", *(name.upper() for name in Settings.model_fields)),
    ],
)
def test_other_programs_have_variables_of_their_own(name: str) -> None:
    assert unknown_names([name]) == []


def test_a_name_that_is_written_wrong_is_told_once_and_without_its_value(
    env_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    env_file.write_text("META_ACESS_TOKEN=s3cret\n")
    read_settings()
    read_settings()
    assert [record.getMessage() for record in caplog.records] == [
        "META_ACESS_TOKEN is no setting: did you mean META_ACCESS_TOKEN?"
    ]


@pytest.mark.parametrize(("name", "least"), [("SUPABASE_JWT_SECRET", 32), ("INTAKE_KEY", 16)])
def test_a_secret_that_is_too_short_is_refused_without_its_length(
    monkeypatch: pytest.MonkeyPatch, name: str, least: int
) -> None:
    monkeypatch.setenv(name, "sevenab")
    with pytest.raises(SettingsError) as refused:
        read_settings()
    assert str(refused.value) == f"{name} cannot be used: must have {least} characters or more"
