"""Every setting of the pipeline, read from the environment and from ``.env``. Nothing else reads
them; ``TRACKING_DEBUG`` alone, which shows where an error was, is read where it is shown.

Values are read when :func:`read_settings` is called, never on import, so that importing a Dagster
definition needs no environment. Secrets are ``SecretStr``: they print as ``**********``.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
import os
import re
import unicodedata
from collections.abc import Iterable
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tracking_pipeline.delivery.destinations.registry import REGISTRY, DestinationName
from tracking_pipeline.errors import WrongUseError

log = logging.getLogger(__name__)

WORKSPACE_FILE = "workspace.yaml"
INSTANCE_FILE = "dagster.yaml"
ENV_FILE = ".env"
CLOSED_PROJECTS_HOME = Path("/var/lib/tracking_pipeline")


class SettingsError(WrongUseError):
    """A setting cannot be used. The message is one line and names the variable, never its value."""


def project_folder() -> Path:
    """The folder that holds ``workspace.yaml``: the nearest one above the working folder, else the
    checkout that this package was installed from, else the working folder itself."""
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parent.parent):
        if (folder / WORKSPACE_FILE).is_file():
            return folder
    return here


def project_file(name: str) -> Path:
    """``workspace.yaml`` or ``dagster.yaml``: the project's own, else the one of the package, which
    a wheel brings."""
    own = project_folder() / name
    return own if own.is_file() else Path(__file__).resolve().parent / "project" / name


def _default_home(project: Path) -> Path:
    """``.tracking`` in the project; for root in a folder closed to others, one under ``/var/lib``.

    PostgreSQL does not run as root, and the account that it runs as instead must get there. A
    checkout in root's own home is the usual case, and no reason not to work.
    """
    closed = (folder for folder in (project, *project.parents) if not folder.stat().st_mode & 0o001)
    if os.geteuid() != 0 or next(closed, None) is None:
        return project / ".tracking"
    mark = hashlib.sha256(os.fsencode(project)).hexdigest()[:8]
    return CLOSED_PROJECTS_HOME / f"{project.name}-{mark}"


def _meant(value: str) -> str:
    """What somebody meant to set, of what a mounted secret, ``echo`` or a copy from a web page made
    of it: without white space, line ends, marks and invisible characters at both ends, and without
    a pair of quotes around all of it."""
    while True:
        first = next((i for i, each in enumerate(value) if not _is_nothing(each)), len(value))
        value = value[first:]
        while value and _is_nothing(value[-1]):
            value = value[:-1]
        quote = value[:1]
        if len(value) < 2 or quote not in "\"'" or value[-1] != quote or quote in value[1:-1]:
            return value
        value = value[1:-1]


def _is_nothing(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in ("Cc", "Cf")


def _token(value: SecretStr) -> SecretStr:
    """A token goes into a header: visible ASCII (RFC 9110 5.5)."""
    if not re.fullmatch(r"[!-~]*", value.get_secret_value()):
        raise ValueError("holds a space or a character that no token has: copy it again")
    return value


def _http_url(value: str) -> str:
    if not re.match(r"https?://[^/\s?#]", value):
        raise ValueError("must start with https:// (or http://) and a host")
    return value.rstrip("/")


def _container_url(value: str) -> str:
    """The address of a server container, to which the path of its client is added."""
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError("is no address of a host") from None
    if "@" in parts.netloc or parts.query or parts.fragment or value[-1] in "?#":
        raise ValueError("must have no user name, no query (?) and no fragment (#)")
    if re.search(r"/(?:data|(?:debug/)?mp/collect|g/collect)$", parts.path, re.IGNORECASE):
        raise ValueError(
            "must be the container's address alone: the path of its client is added to it"
        )
    return value


def _postgres_url(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError("must start with postgresql://")
    return value


def _comma_separated(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _pairs(value: object) -> object:
    """``em=0.45,ph=0.3`` or a JSON object."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError("is not valid JSON: write em=0.45,ph=0.3") from None
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    return {name.strip(): weight.strip() for name, _, weight in pairs}


def _origin(value: str) -> str:
    """``*``, or what a browser sends as ``Origin``: scheme, host and port."""
    if value != "*" and not re.fullmatch(r"https?://[^/\s?#@]+", value):
        raise ValueError("must be * or origins such as https://www.example.com, without a path")
    return value


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is no time zone: write a name such as Europe/Berlin") from None
    return value


GeoProvider = Literal["mmdb", "ip_api", "ipinfo"]
# NoDecode: pydantic-settings would read the variable as JSON.
GeoProviders = Annotated[tuple[GeoProvider, ...], NoDecode, BeforeValidator(_comma_separated)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
ContainerUrl = Annotated[HttpUrl, AfterValidator(_container_url)]
GoogleId = Annotated[str, Field(pattern=r"^[0-9-]+$")]
InFlight = Annotated[int, Field(ge=1, le=256)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# A name of an event, and what somebody else calls it.
NamesOf = Annotated[
    dict[str, Annotated[str, Field(min_length=1, max_length=200)]],
    NoDecode,
    BeforeValidator(_pairs),
]
# A name of an event, and the id of its rule at LinkedIn, or the rule's URN.
ConversionRules = Annotated[
    dict[str, Annotated[str, Field(pattern=r"^(urn:lla:llaPartnerConversion:)?\d+$")]],
    NoDecode,
    BeforeValidator(_pairs),
]
Weights = Annotated[dict[str, Weight], NoDecode, BeforeValidator(_pairs)]
Score = Annotated[float, Field(ge=0, le=10)]
Percent = Annotated[float, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=0)]
Days = Annotated[int, Field(ge=1, le=3650)]
Hours = Annotated[float, Field(gt=0, le=24 * 365)]
PerSecond = Annotated[float, Field(gt=0, le=10_000)]
Token = Annotated[SecretStr, AfterValidator(_token)]
UserPath = Annotated[Path, AfterValidator(Path.expanduser)]
PostgresUrl = Annotated[SecretStr, AfterValidator(_postgres_url)]
# RFC 7518 3.2: a key for HS256 is no shorter.
JwtSecret = Annotated[SecretStr, Field(min_length=32)]
Origins = Annotated[
    tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode, BeforeValidator(_comma_separated)
]
Networks = Annotated[tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(_comma_separated)]


_READ_ELSEWHERE = frozenset(("TRACKING_DEBUG",))
# Lists whose default is none.
_LISTS = ("alert_channels", "conversion_event_names")


class Settings(BaseSettings):
    """One field a variable; the variable has the field's name in capitals."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _is_what_was_meant(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, str):
            return value
        default = cls.model_fields[info.field_name or ""].get_default(call_default_factory=True)
        value = _meant(value)
        # Lists may go over several lines.
        is_list = isinstance(default, tuple | dict) or info.field_name in _LISTS
        for character in value:
            if unicodedata.category(character) == "Cc" and not (is_list and character in "\r\n\t"):
                raise ValueError("holds a line end or another control character: write one line")
        return value or default

    tracking_database_url: PostgresUrl | None = None
    dagster_postgres_url: PostgresUrl | None = None
    tracking_home: UserPath | None = None
    tracking_rehearsal: bool | None = None
    tracking_worker_role: str | None = None

    meta_dataset_id: Annotated[str, Field(pattern=r"^\d+$")] | None = None
    meta_access_token: Token | None = None
    meta_app_secret: Token | None = None
    meta_api_version: Annotated[str, Field(pattern=r"^v\d+\.\d+$")] = "v26.0"
    meta_test_event_code: str | None = None
    meta_graph_url: HttpUrl = "https://graph.facebook.com"

    meta_requests_in_flight: InFlight | None = None
    meta_requests_per_second: PerSecond | None = None

    google_ads_account_id: GoogleId | None = None
    google_ads_login_account_id: GoogleId | None = None
    google_conversion_action_id: GoogleId | None = None
    google_transaction_id_prefix: (
        Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")] | None
    ) = None
    google_application_credentials: UserPath | None = None
    google_access_token: Token | None = None
    google_data_manager_url: HttpUrl = "https://datamanager.googleapis.com"
    google_max_age_days: Annotated[int, Field(ge=1, le=3650)] = 54
    google_requests_in_flight: InFlight | None = None
    # Google allows 300 requests a minute for each Cloud project.
    google_requests_per_second: PerSecond | None = 4.0

    gtm_server_url: ContainerUrl | None = None
    gtm_server_protocol: Literal["data_client", "measurement_protocol"] = "data_client"
    gtm_accept_multiple_events: bool = False
    gtm_measurement_id: str | None = None
    gtm_api_secret: Token | None = None
    gtm_preview_token: Token | None = None
    gtm_requests_in_flight: InFlight | None = None
    gtm_requests_per_second: PerSecond | None = None

    linkedin_access_token: Token | None = None
    linkedin_conversion_rules: ConversionRules = Field(default_factory=dict)
    linkedin_ad_account_id: Annotated[str, Field(pattern=r"^\d+$")] | None = None
    linkedin_api_version: Annotated[str, Field(pattern=r"^20\d{2}(0[1-9]|1[0-2])$")] = "202608"
    linkedin_url: HttpUrl = "https://api.linkedin.com"
    linkedin_requests_in_flight: InFlight | None = None
    # LinkedIn's page says 600 a minute; connectors keep to half of it.
    linkedin_requests_per_second: PerSecond | None = 5.0

    microsoft_uet_tag_id: Annotated[str, Field(pattern=r"^\d+$")] | None = None
    microsoft_uet_access_token: Token | None = None
    microsoft_uet_event_names: NamesOf = Field(default_factory=dict)
    microsoft_uet_url: HttpUrl = "https://capi.uet.microsoft.com"
    microsoft_uet_requests_in_flight: InFlight | None = None
    microsoft_uet_requests_per_second: PerSecond | None = 5.0

    reddit_pixel_id: Annotated[str, Field(pattern=r"^[at]2_\w+$")] | None = None
    reddit_access_token: Token | None = None
    reddit_test_id: str | None = None
    reddit_event_names: NamesOf = Field(default_factory=dict)
    reddit_resend_in_doubt: bool = False
    reddit_url: HttpUrl = "https://ads-api.reddit.com"
    reddit_requests_in_flight: InFlight | None = None
    reddit_requests_per_second: PerSecond | None = 10.0

    tiktok_pixel_code: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] | None = None
    tiktok_access_token: Token | None = None
    tiktok_event_source: Literal["web", "app", "offline", "crm"] = "web"
    tiktok_test_event_code: str | None = None
    tiktok_event_names: NamesOf = Field(default_factory=dict)
    # Validators of others say 7 or 28 days; TikTok's page says nothing.
    tiktok_max_age_days: Annotated[int, Field(ge=1, le=365)] = 7
    tiktok_url: HttpUrl = "https://business-api.tiktok.com"
    tiktok_requests_in_flight: InFlight | None = None
    tiktok_requests_per_second: PerSecond | None = 10.0

    pinterest_ad_account_id: Annotated[str, Field(pattern=r"^\d+$")] | None = None
    pinterest_access_token: Token | None = None
    # Judged by Pinterest and not recorded: for trying out only.
    pinterest_test_mode: bool = False
    pinterest_event_names: NamesOf = Field(default_factory=dict)
    pinterest_max_age_days: Annotated[int, Field(ge=1, le=365)] = 7
    pinterest_url: HttpUrl = "https://api.pinterest.com"
    pinterest_requests_in_flight: InFlight | None = None
    # 5,000 a minute for an ad account.
    pinterest_requests_per_second: PerSecond | None = 20.0

    snapchat_pixel_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] | None = None
    snapchat_access_token: Token | None = None
    snapchat_token_in_url: bool = False
    snapchat_test_event_code: str | None = None
    snapchat_event_names: NamesOf = Field(default_factory=dict)
    # What data_processing_options says of somebody whose data is for counting only.
    snapchat_limited_data_option: Annotated[str, Field(pattern=r"^[A-Za-z]{2,16}$")] | None = None
    snapchat_max_age_days: Annotated[int, Field(ge=1, le=365)] = 37
    snapchat_url: HttpUrl = "https://tr.snapchat.com"
    snapchat_requests_in_flight: InFlight | None = None
    snapchat_requests_per_second: PerSecond | None = 10.0

    # How long after its row was made an event is still tried, beyond the five retries of everybody:
    # delivery/engine/backoff.py. Unset: not at all.
    meta_retry_horizon_hours: Hours | None = None
    google_retry_horizon_hours: Hours | None = None
    gtm_retry_horizon_hours: Hours | None = None
    supabase_retry_horizon_hours: Hours | None = None
    tiktok_retry_horizon_hours: Hours | None = None
    pinterest_retry_horizon_hours: Hours | None = None
    snapchat_retry_horizon_hours: Hours | None = None
    linkedin_retry_horizon_hours: Hours | None = None
    microsoft_uet_retry_horizon_hours: Hours | None = None
    reddit_retry_horizon_hours: Hours | None = None

    # Whether the dead letters of a pause that is over go back into the queue by themselves.
    replay_after_pause: bool = False

    site_url: HttpUrl | None = None
    default_country: Annotated[str, Field(pattern=r"^[A-Za-z]{2}$")] = "US"
    geo_match_keys: Literal["none", "country", "country_state", "all"] = "all"
    # How Meta gets external_id: as the site's pixel sends it, or the two do not match.
    external_id: Literal["hashed", "raw"] = "hashed"

    # How payloads are read: events/policy.py.
    consent_default: Literal["granted", "unknown", "denied"] = "unknown"
    # Ids of the site's own consent manager that mean advertising (RudderStack's deniedConsentIds).
    denied_consent_ids: Names = ()
    global_privacy_control: Literal["limited", "denied", "ignored"] = "limited"
    site_timezone: Annotated[str, AfterValidator(_time_zone)] | None = None
    future_events_wait_hours: Annotated[float, Field(ge=0, le=24 * 7)] = 24

    geo_providers: GeoProviders = ("mmdb", "ip_api", "ipinfo")
    geo_mmdb_path: UserPath | None = None
    ip_api_url: HttpUrl | None = None
    ip_api_key: Token | None = None
    ipinfo_url: HttpUrl = "https://api.ipinfo.io"
    ipinfo_token: Token | None = None
    ip_retention_days: Annotated[int, Field(ge=1, le=3650)] = 30
    ip_retention: Literal["truncate", "remove"] = "truncate"

    emq_model: Literal["saturating", "weighted"] = "saturating"
    # Checked against the model where it is used: wiring/health.py.
    emq_weights: Weights = Field(default_factory=dict)
    emq_window_days: Annotated[int, Field(ge=1, le=90)] = 7
    emq_warning: Score = 7.0
    emq_critical: Score = 4.0
    failed_events_warning: Count = 5
    failed_events_critical: Count = 10
    error_rate_window_hours: Annotated[int, Field(ge=1, le=24 * 90)] = 24
    error_rate_warning: Percent = 2.0
    error_rate_critical: Percent = 5.0
    # A dead letter is not tried again by itself: the first one is worth a look.
    dead_letters_warning: Count = 0
    dead_letters_critical: Count = 10
    health_minimum_events: Count = 20
    # Unset: every event of type conversion, and those of the usual names.
    conversion_event_names: Names | None = None

    alert_after_checks: Annotated[int, Field(ge=1, le=100)] = 1
    alert_clear_after_checks: Annotated[int, Field(ge=1, le=100)] = 2
    # How much better than its threshold a value must be for an alert to end.
    alert_clear_margin_percent: Annotated[float, Field(ge=0, le=50)] = 5.0
    # Apprise URLs, comma separated: health/notifications/channels.py.
    alert_channels: SecretStr | None = None
    alert_reminder_hours: Annotated[float, Field(gt=0, le=24 * 7)] = 4.0
    snapshot_retention_days: Days = 90
    run_retention_days: Days = 30

    # Who may call the API: web/security/access.py. Intake's key is known to every visitor of a site
    # that posts from the browser; it keeps strangers' scanners out and is no secret.
    # How long it must be depends on who can reach the API: web/server.py.
    admin_api_token: Annotated[SecretStr, Field(min_length=1)] | None = None
    supabase_jwt_secret: JwtSecret | None = None
    supabase_jwks_url: HttpUrl | None = None
    intake_key: Annotated[SecretStr, Field(min_length=16)] | None = None
    cors_origins: Origins = ()
    # Whose word about the client's address is taken (X-Forwarded-For).
    trusted_proxies: Networks = ()
    log_event_forward_to: Annotated[
        tuple[DestinationName, ...], NoDecode, BeforeValidator(_comma_separated)
    ] = ()
    intake_requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = 600
    max_body_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = 1024 * 1024
    # What one lead is worth to the business, for the estimate of what lost events cost.
    lead_value: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    lead_value_currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    # Where the health page links to: the address at which people open the Dagster UI.
    dagster_ui_url: HttpUrl = "http://127.0.0.1:3000"

    @field_validator(
        *(f"{spec.settings}_retry_horizon_hours".lower() for spec in REGISTRY), check_fields=False
    )
    @classmethod
    def _is_within_age_limit(cls, hours: float | None, info: ValidationInfo) -> float | None:
        """Nothing is gained by waiting for longer than an event is accepted."""
        own = {each.variable("retry_horizon_hours").lower(): each for each in REGISTRY}
        spec = own[info.field_name or ""]
        limit = spec.age_limit(info.data)
        if hours is not None and limit and timedelta(hours=hours) > limit:
            most = f"{limit.total_seconds() / 3600:g}"
            raise ValueError(f"must be at most {most}, the age up to which events are accepted")
        return hours

    @property
    def home(self) -> Path:
        """Where the embedded database and downloaded files live; an absolute path."""
        return (self.tracking_home or _default_home(project_folder())).expanduser().absolute()

    @property
    def nothing_configured(self) -> bool:
        """No database and no destination is set: what runs now can only be a rehearsal."""
        return self.tracking_database_url is None and not any(
            getattr(self, name) for spec in REGISTRY for name in spec.account
        )


def read_settings() -> Settings:
    """Reads the environment, then ``.env`` beside ``workspace.yaml`` for what it does not set.

    Raises :class:`SettingsError` for a value of the wrong form.
    """
    file = project_folder() / ENV_FILE
    written = _names_in_env_file(file)
    for name, meant in unknown_names((*os.environ, *written)):
        _warn_once(f"{name} is no setting: did you mean {meant}?")
    try:
        return Settings(_env_file=file)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        variable = str(first["loc"][0]).upper() if first["loc"] else "a setting"
        problem = str(first["msg"]).removeprefix("Value error, ")
        raise SettingsError(f"{variable} cannot be used: {problem}") from None


# A value, quoted (its quotes escaped within) or bare, and a comment behind it.
_ENV_LINE = re.compile(
    r"""(export\s+)?[A-Za-z_][A-Za-z0-9_]*\s*=\s*
        ("(\\.|[^"\\])*"|'(\\.|[^'\\])*')?\s*(\#.*)?
      | (export\s+)?[A-Za-z_][A-Za-z0-9_]*\s*=\s*[^"'\s\#].*
      | \#.* | """,
    re.VERBOSE,
)


def _names_in_env_file(file: Path) -> list[str]:
    """The names that a file of settings sets.

    Raises :class:`SettingsError` where it cannot be read wholly: what its reader skips, as a line
    without its closing quote, would have another database served."""
    if not file.exists() and not file.is_symlink():
        return []
    if not file.is_file():
        raise SettingsError(f"{ENV_FILE} is not a regular file: remove it or put the file there")
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"{ENV_FILE} cannot be read as UTF-8 text: mend or remove it") from None
    names = []
    for number, line in enumerate(re.split("\r\n|\n|\r", text), 1):
        if "\0" in line or not _ENV_LINE.fullmatch(line.strip()):
            raise SettingsError(
                f"{ENV_FILE}, line {number}: write NAME=value, with both quotes or none"
            )
        if "=" in line and not line.lstrip().startswith("#"):
            names.append(line.partition("=")[0].split()[-1])
    return names


def unknown_names(names: Iterable[str]) -> list[tuple[str, str]]:
    """Those of the variables that are no setting and look like one, with the one that was perhaps
    meant. Other programs have variables of their own, so only what is nearly a setting's name
    counts, or begins as only ours do."""
    known = {field.upper() for field in Settings.model_fields} | _READ_ELSEWHERE
    found = []
    for name in dict.fromkeys(names):
        if name.upper() in known or not name.isascii():
            continue
        cutoff = 0.6 if name.upper().startswith("TRACKING_") else 0.88
        near = difflib.get_close_matches(name.upper(), sorted(known), n=1, cutoff=cutoff)
        found += [(name, meant) for meant in near]
    return found


@cache
def _warn_once(message: str) -> None:
    log.warning(message)


def dagster_home() -> Path | None:
    """``DAGSTER_HOME`` where it is set: Dagster's own variable, for its own instance folder."""
    value = os.environ.get("DAGSTER_HOME")
    return Path(value).expanduser() if value else None
