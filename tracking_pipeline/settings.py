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
from functools import cache, lru_cache
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


def _secret_http_url(value: SecretStr) -> SecretStr:
    _http_url(value.get_secret_value())
    return value


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
_LISTS = ("alert_channels", "conversion_event_names", "site_sends_to")


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
    """The PostgreSQL database with your tables. Unset: the embedded one."""
    dagster_postgres_url: PostgresUrl | None = None
    """Dagster's own storage; do not use a transaction pooler. Unset: the embedded PostgreSQL."""
    tracking_home: UserPath | None = None
    """Folder for the embedded database and downloaded files. Unset: `.tracking` next to
    `workspace.yaml`. If root runs the pipeline in a folder that other accounts cannot enter: a
    folder under `/var/lib/tracking_pipeline`, because PostgreSQL does not run as root."""
    tracking_rehearsal: bool | None = None
    """`true` forces the rehearsal database, `false` a real one. Unset: [depends on what is
    configured](../explanation/rehearsal.md)."""
    tracking_worker_role: str | None = None
    """The role that the pipeline connects as, if it does not own the tables. `migrate` gives it
    grants and policies."""

    meta_dataset_id: Annotated[str, Field(pattern=r"^\d+$")] | None = None
    """The dataset (pixel) that events are sent to."""
    meta_access_token: Token | None = None
    """A token that may send events to the dataset."""
    meta_app_secret: Token | None = None
    """The app's secret. If set, each request carries `appsecret_proof`."""
    meta_api_version: Annotated[str, Field(pattern=r"^v\d+\.\d+$")] = "v26.0"
    """The version of the Graph API."""
    meta_test_event_code: str | None = None
    """Shows events under "Test events" in Events Manager. **They still count as real events**:
    leave it unset in production."""
    meta_graph_url: HttpUrl = "https://graph.facebook.com"
    """The base URL of the Graph API."""

    meta_requests_in_flight: InFlight | None = None
    meta_requests_per_second: PerSecond | None = None

    google_ads_account_id: GoogleId | None = None
    """The Google Ads account that conversions are sent to."""
    google_ads_login_account_id: GoogleId | None = None
    """The manager account, if the credentials belong to one."""
    google_conversion_action_id: GoogleId | None = None
    """The id of the conversion action."""
    google_transaction_id_prefix: (
        Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")] | None
    ) = None
    """A prefix for each `transactionId`, if Google refuses ids that consist of digits only. Your
    tag must send the same prefix. Unset: none."""
    google_application_credentials: UserPath | None = None
    """The JSON key file of a service account or a user. Requires `pip install
    tracking-pipeline[google]`."""
    google_access_token: Token | None = None
    """An access token, valid for an hour, to try things out without credentials."""
    google_data_manager_url: HttpUrl = "https://datamanager.googleapis.com"
    """The base URL of the Data Manager API."""
    google_max_age_days: Annotated[int, Field(ge=1, le=3650)] = 54
    """Maximum age of an event, in days."""
    google_requests_in_flight: InFlight | None = None
    # Google allows 300 requests a minute for each Cloud project.
    google_requests_per_second: PerSecond | None = 4.0

    gtm_server_url: ContainerUrl | None = None
    """The URL of the server container, without the path of a client (`/data`, `/mp/collect`)."""
    gtm_server_protocol: Literal["data_client", "measurement_protocol"] = "data_client"
    """`data_client` (Stape's Data Client) or `measurement_protocol`."""
    gtm_accept_multiple_events: bool = False
    """Whether the Data Client's option of that name is enabled. If so, several events are sent in
    one request."""
    gtm_measurement_id: str | None = None
    """The measurement id for the Measurement Protocol."""
    gtm_api_secret: Token | None = None
    """The API secret for the Measurement Protocol."""
    gtm_preview_token: Token | None = None
    """Shows events in the container's preview."""
    gtm_requests_in_flight: InFlight | None = None
    gtm_requests_per_second: PerSecond | None = None

    linkedin_access_token: Token | None = None
    """A token with the scopes `rw_conversions` and `r_ads`."""
    linkedin_conversion_rules: ConversionRules = Field(default_factory=dict)
    """The conversion rule for each event name, such as `Lead=104012,Purchase=104013` (`*=104012`
    for all other names). Events without a rule are not sent."""
    linkedin_ad_account_id: Annotated[str, Field(pattern=r"^\d+$")] | None = None
    """The ad account, so that `test-destinations` can read its conversion rules."""
    linkedin_api_version: Annotated[str, Field(pattern=r"^20\d{2}(0[1-9]|1[0-2])$")] = "202608"
    """The API version, `YYYYMM`."""
    linkedin_url: HttpUrl = "https://api.linkedin.com"
    """The base URL of the API."""
    linkedin_requests_in_flight: InFlight | None = None
    # LinkedIn's page says 600 a minute; connectors keep to half of it.
    linkedin_requests_per_second: PerSecond | None = 5.0

    microsoft_uet_tag_id: Annotated[str, Field(pattern=r"^\d+$")] | None = None
    """The id of the UET tag."""
    microsoft_uet_access_token: Token | None = None
    """The tag's token for the Conversions API, which Microsoft enables for individual accounts."""
    microsoft_uet_event_names: NamesOf = Field(default_factory=dict)
    """Event names of your conversion goals, if they differ from the events' own, such as
    `quote_requested=Lead`."""
    microsoft_uet_url: HttpUrl = "https://capi.uet.microsoft.com"
    """The base URL of the API."""
    microsoft_uet_requests_in_flight: InFlight | None = None
    microsoft_uet_requests_per_second: PerSecond | None = 5.0

    openai_ads_pixel_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] | None = None
    """The pixel, from the conversions tab of Ads Manager."""
    openai_ads_api_key: Token | None = None
    """A Conversions API key, which is another one than that of the Advertiser API."""
    openai_ads_event_names: NamesOf = Field(default_factory=dict)
    """Names of events, as in `quote_requested=lead_created`. The usual ones are known; others are
    `custom`."""
    openai_ads_validate_only: bool = False
    """Whether events are judged and not saved."""
    openai_ads_url: HttpUrl = "https://bzr.openai.com"
    """The address of the API."""
    openai_ads_requests_in_flight: InFlight | None = None
    # OpenAI names no limit.
    openai_ads_requests_per_second: PerSecond | None = 5.0

    reddit_pixel_id: Annotated[str, Field(pattern=r"^[at]2_\w+$")] | None = None
    """The pixel's id, `a2_...` or `t2_...`."""
    reddit_access_token: Token | None = None
    """A conversion access token."""
    reddit_test_id: str | None = None
    """Shows events as test events in Events Manager."""
    reddit_event_names: NamesOf = Field(default_factory=dict)
    """Additional event names, such as `quote_requested=LEAD`. The usual names are known; others are
    sent as `CUSTOM`."""
    reddit_resend_in_doubt: bool = False
    """Whether a request is sent again if its response was lost. The event may then count twice,
    because Reddit does not de-duplicate server events. `false`: such an event becomes a dead
    letter (`outcome unknown`)."""
    reddit_url: HttpUrl = "https://ads-api.reddit.com"
    """The base URL of the API."""
    reddit_requests_in_flight: InFlight | None = None
    reddit_requests_per_second: PerSecond | None = 10.0

    tiktok_pixel_code: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] | None = None
    """The pixel's code (event source id)."""
    tiktok_access_token: Token | None = None
    """An access token for the Events API."""
    tiktok_event_source: Literal["web", "app", "offline", "crm"] = "web"
    """The kind of source that events come from: `web`, `app`, `offline` or `crm`."""
    tiktok_test_event_code: str | None = None
    """Shows events as test events in Events Manager. Each request then carries one event."""
    tiktok_event_names: NamesOf = Field(default_factory=dict)
    """Additional event names, such as `quote_requested=Lead`. The usual names are known; others are
    sent unchanged."""
    # Validators of others say 7 or 28 days; TikTok's page says nothing.
    tiktok_max_age_days: Annotated[int, Field(ge=1, le=365)] = 7
    """Maximum age of an event, in days. TikTok does not document one."""
    tiktok_url: HttpUrl = "https://business-api.tiktok.com"
    """The base URL of the API."""
    tiktok_requests_in_flight: InFlight | None = None
    tiktok_requests_per_second: PerSecond | None = 10.0

    pinterest_ad_account_id: Annotated[str, Field(pattern=r"^\d+$")] | None = None
    """The ad account's id."""
    pinterest_access_token: Token | None = None
    """A conversion access token."""
    pinterest_ads_token: Token | None = None
    """A token with the scope `ads:read`, which a conversion token does not have. With it, the
    checks of destinations show the event quality that Pinterest reports."""
    # Judged by Pinterest and not recorded: for trying out only.
    pinterest_test_mode: bool = False
    """Pinterest validates events but does **not record them**. For trying things out."""
    pinterest_event_names: NamesOf = Field(default_factory=dict)
    """Additional event names, such as `quote_requested=lead`. The usual names are known; others are
    sent as `custom`."""
    pinterest_max_age_days: Annotated[int, Field(ge=1, le=365)] = 7
    """Maximum age of an event, in days."""
    pinterest_url: HttpUrl = "https://api.pinterest.com"
    """The base URL of the API."""
    pinterest_requests_in_flight: InFlight | None = None
    # 5,000 a minute for an ad account.
    pinterest_requests_per_second: PerSecond | None = 20.0

    snapchat_pixel_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] | None = None
    """The pixel's id."""
    snapchat_access_token: Token | None = None
    """An access token for the Conversions API."""
    snapchat_token_in_url: bool = False
    """Sends the token in the URL, as Snapchat's documentation shows it. For use if the header is
    refused."""
    snapchat_test_event_code: str | None = None
    """Shows events as test events in Events Manager."""
    snapchat_event_names: NamesOf = Field(default_factory=dict)
    """Additional event names, such as `quote_requested=CUSTOM_EVENT_1`. The usual names are known
    (`Lead` is `SIGN_UP`); others become dead letters."""
    # What data_processing_options says of somebody whose data is for counting only.
    snapchat_limited_data_option: Annotated[str, Field(pattern=r"^[A-Za-z]{2,16}$")] | None = None
    """The value sent in `data_processing_options` for somebody who refused personalisation or sent
    Global Privacy Control. Unset: such an event is withheld, because Snapchat does not document the
    value clearly."""
    snapchat_max_age_days: Annotated[int, Field(ge=1, le=365)] = 37
    """Maximum age of an event, in days."""
    snapchat_url: HttpUrl = "https://tr.snapchat.com"
    """The base URL of the API."""
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
    openai_ads_retry_horizon_hours: Hours | None = None

    # How many retry runs a long queue is shared by: defs/delivery/backlog.py.
    retry_workers: Annotated[int, Field(ge=1, le=64)] = 1
    """How many retry runs share a long queue: one for each 1,000 due events, at most 64."""
    # Whether the dead letters of a pause that is over go back into the queue by themselves.
    replay_after_pause: bool = False
    """Whether the dead letters of a pause are replayed automatically when it is over. `false`:
    `status` offers to replay them."""

    site_url: HttpUrl | None = None
    """Your site's URL, which turns an event's `page_path` into the `event_source_url` that Meta
    asks for. Unset: a path alone is not sent."""
    default_country: Annotated[str, Field(pattern=r"^[A-Za-z]{2}$")] = "US"
    """ISO code of the country assumed for phone numbers without a country code."""
    geo_match_keys: Literal["none", "country", "country_state", "all"] = "all"
    """Which parts of a lead's address are added to its events as match keys: `none`, `country`,
    `country_state` or `all`."""
    geo_match_keys_from_hosting: bool = False
    """Whether a location is also sent if its source says that the IP address belongs to a data
    centre, a proxy, a VPN or a relay. `false`: it is stored, noted in `geo_fields`, and not
    sent."""
    # How Meta gets external_id: as the site's pixel sends it, or the two do not match.
    external_id: Literal["hashed", "raw"] = "hashed"
    """How Meta receives `external_id`: `hashed` or `raw`. Must be the same as in your pixel, or the
    two do not match."""

    # How payloads are read: events/policy.py.
    consent_default: Literal["granted", "unknown", "denied"] = "unknown"
    """What to assume if a payload says nothing about consent: `granted`, `unknown` (the event is
    sent, without a consent signal to Google) or `denied`."""
    # Ids of the site's own consent manager that mean advertising (RudderStack's deniedConsentIds).
    denied_consent_ids: Names = ()
    """Ids in your consent manager that mean advertising, comma separated. Unset: an event with a
    list of refused ids that names no known purpose is not sent."""
    global_privacy_control: Literal["limited", "denied", "ignored"] = "limited"
    """What a browser's `Sec-GPC` in a payload means: `limited` (Limited Data Use, no
    personalisation), `denied` or `ignored`."""
    site_timezone: Annotated[str, AfterValidator(_time_zone)] | None = None
    """The time zone of times that name none, such as `Europe/Berlin`. Unset: UTC."""
    future_events_wait_hours: Annotated[float, Field(ge=0, le=24 * 7)] = 24
    """How many hours in the future an event's time may be. Until then the event waits."""

    geo_providers: GeoProviders = ("mmdb", "ip_api", "ipinfo")
    """Geolocation sources, in the order in which they are tried."""
    geo_mmdb_path: UserPath | None = None
    """A local geolocation database. Unset: the one that `geo update` downloads."""
    ip_api_url: HttpUrl | None = None
    """`http://ip-api.com` for the free service, for non-commercial use only. Unset: not used."""
    ip_api_key: Token | None = None
    """The API key of ip-api's paid service. Unset: not used."""
    ipinfo_url: HttpUrl = "https://api.ipinfo.io"
    """The base URL of ipinfo."""
    ipinfo_token: Token | None = None
    """An API token of ipinfo. Unset: not used."""
    ip_retention_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """Days after which the IP addresses of enriched leads are shortened or removed."""
    ip_retention: Literal["truncate", "remove"] = "truncate"
    """What happens to such an address: `truncate` (to /24 or /48) or `remove`."""

    emq_model: Literal["saturating", "weighted"] = "saturating"
    """How an event is scored: `saturating` (each additional key adds less) or `weighted` (the sum
    that older dashboards show)."""
    # Checked against the model where it is used: wiring/health.py.
    emq_weights: Weights = Field(default_factory=dict)
    """Weights that replace the model's own, such as `em=0.45,ph=0.3`."""
    emq_window_days: Annotated[int, Field(ge=1, le=90)] = 7
    """The number of days that the score covers."""
    emq_warning: Score = 7.0
    """Warning below this score."""
    emq_critical: Score = 4.0
    """Critical below this score."""
    failed_events_warning: Count = 5
    """Warning above this number of waiting events."""
    failed_events_critical: Count = 10
    """Critical above this number of waiting events."""
    error_rate_window_hours: Annotated[int, Field(ge=1, le=24 * 90)] = 24
    """The number of hours that the error rate covers."""
    error_rate_warning: Percent = 2.0
    """Warning above this error rate, in percent."""
    error_rate_critical: Percent = 5.0
    """Critical above this error rate, in percent."""
    delivery_rate_window_hours: Annotated[int, Field(ge=1, le=24 * 30)] = 24
    """The number of hours that the delivery rate covers, up to an hour ago."""
    delivery_rate_warning: Percent = 90.0
    """Warning if fewer percent of a destination's conversions were delivered."""
    delivery_rate_critical: Percent = 75.0
    """Critical if fewer percent of a destination's conversions were delivered."""
    site_sends_to: (
        Annotated[tuple[DestinationName, ...], NoDecode, BeforeValidator(_comma_separated)] | None
    ) = None
    """Destinations to which the site itself sends first attempts, comma separated. If the site
    reports no failure, delivery is assumed. Unset: those that are configured or have failed events,
    and are not in `LOG_EVENT_FORWARD_TO`."""
    once_an_order: bool = False
    """Whether an event is withheld if its order was already sent under another event id."""
    order_window_days: Annotated[int, Field(ge=1, le=90)] = 30
    """The number of days within which one order under two event ids is reported and, with
    `ONCE_AN_ORDER`, withheld."""
    # A dead letter is not tried again by itself: the first one is worth a look.
    dead_letters_warning: Count = 0
    """Warning above this number of dead letters in the last 24 hours."""
    dead_letters_critical: Count = 10
    """Critical above this number of dead letters in the last 24 hours."""
    health_minimum_events: Count = 20
    """With fewer events than this, rates and scores raise no alert."""
    # Unset: every event of type conversion, and those of the usual names.
    conversion_event_names: Names | None = None
    """Which ledger events count as conversions, comma separated. Unset: events of type
    `conversion`, and the usual names of leads, bookings and purchases."""

    alert_after_checks: Annotated[int, Field(ge=1, le=100)] = 1
    """Consecutive checks beyond a threshold before an alert starts."""
    alert_clear_after_checks: Annotated[int, Field(ge=1, le=100)] = 2
    """Consecutive healthy checks before an alert ends."""
    # How much better than its threshold a value must be for an alert to end.
    alert_clear_margin_percent: Annotated[float, Field(ge=0, le=50)] = 5.0
    """How much better than its threshold a value must be for an alert to end."""
    # Apprise URLs, comma separated: health/notifications/channels.py.
    alert_channels: SecretStr | None = None
    """[Apprise](https://github.com/caronc/apprise) URLs, comma separated. Unset: alerts are
    recorded and shown, but not sent. `serve` and `dev` do not start with an unusable channel."""
    alert_signing_key: Annotated[SecretStr, Field(min_length=16)] | None = None
    """Signs messages to webhooks (`json://`, `jsons://`) according to [Standard
    Webhooks](https://www.standardwebhooks.com): `webhook-signature: v1,` followed by the base64 of
    the HMAC-SHA256 of `{webhook-id}.{webhook-timestamp}.{body}`. 16 characters or more, or `whsec_`
    and base64. Unset: not signed."""
    weekly_digest: bool = False
    """Tells the channels of `ALERT_CHANNELS` every Monday what arrived in the week, what retries
    saved, what it was worth and what to do next; the same as a page beside the health report."""
    alert_reminder_hours: Annotated[float, Field(gt=0, le=24 * 7)] = 4.0
    """Hours between reminders while an alert is critical."""
    # Who knows it can keep the switch from telling that no check comes.
    dead_mans_switch_url: Annotated[SecretStr, AfterValidator(_secret_http_url)] | None = None
    """A secret URL, such as one of healthchecks.io, that is requested (`GET`) after each completed
    health check. The service behind it notifies you if the requests stop. Never requested in a
    rehearsal."""
    snapshot_retention_days: Days = 90
    """Days for which the values of metrics are kept."""
    # The database itself refuses to delete younger attempts: store/migrations.
    attempt_retention_days: Annotated[int, Field(ge=100, le=3650)] = 400
    """Days for which the attempts of settled events are kept, and what Google said of its
    requests."""
    # Windows of readings look back over 90 days at most.
    rollup_retention_days: Annotated[int, Field(ge=100, le=3650)] = 400
    """Days for which counts by hour are kept: what scores and the accounting are made of."""
    # The digest's message is how a channel is known to have had that of this week.
    notification_retention_days: Annotated[int, Field(ge=7, le=3650)] = 400
    """Days for which the messages of alerts that ended are kept."""
    run_retention_days: Days = 30
    """Days for which Dagster's runs are kept."""

    # Who may call the API: web/security/access.py. Intake's key is known to every visitor of a site
    # that posts from the browser; it keeps strangers' scanners out and is no secret.
    # How long it must be depends on who can reach the API: web/server.py.
    admin_api_token: Annotated[SecretStr, Field(min_length=1)] | None = None
    """The bearer token for the admin endpoints. Unset: `serve` stays on loopback and prints a token
    that it generates."""
    supabase_jwt_secret: JwtSecret | None = None
    """Accepts users of a Supabase project whose tokens are signed with its legacy secret."""
    supabase_jwks_url: HttpUrl | None = None
    """Accepts users of a Supabase project with signing keys."""
    intake_key: Annotated[SecretStr, Field(min_length=16)] | None = None
    """The key that sites send as `x-api-key`, 16 characters or more. Unset: only processes on this
    machine may post."""
    cors_origins: Origins = ()
    """Origins from which browsers may post, comma separated."""
    # Whose word about the client's address is taken (X-Forwarded-For).
    trusted_proxies: Networks = ()
    """Networks of proxies whose `X-Forwarded-For` is trusted. Requests from them do not count as
    local."""
    log_event_forward_to: Annotated[
        tuple[DestinationName, ...], NoDecode, BeforeValidator(_comma_separated)
    ] = ()
    """Destinations to which `log-event` forwards the events that it accepts, comma separated."""
    intake_requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = 600
    """Requests per minute that one client may post."""
    max_body_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = 1024 * 1024
    """Maximum size of a request body, in bytes."""
    # What one lead is worth to the business, for the estimate of what lost events cost.
    lead_value: Annotated[float, Field(gt=0, le=1e12)] | None = None
    """The value of a lead, for estimating the cost of lost events."""
    lead_value_currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    """The currency of `LEAD_VALUE`."""
    # Where the health page links to: the address at which people open the Dagster UI.
    dagster_ui_url: HttpUrl = "http://127.0.0.1:3000"
    """The URL of the Dagster UI, which the health page links to."""

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
    _warn_of_unknown((*os.environ, *written))
    try:
        return _settings(file, file.read_bytes() if written else b"", frozenset(os.environ.items()))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        variable = str(first["loc"][0]).upper() if first["loc"] else "a setting"
        problem = str(first["msg"]).removeprefix("Value error, ")
        if first["type"] in ("too_short", "string_too_short"):
            # Its own words tell how long the secret is.
            problem = f"must have {first['ctx']['min_length']} characters or more"
        raise SettingsError(f"{variable} cannot be used: {problem}") from None


@lru_cache(maxsize=1)
def _settings(file: Path, text: bytes, environment: frozenset[tuple[str, str]]) -> Settings:
    """The settings, kept for as long as nothing that they are read from changes: a health check
    asks for them twelve times, which would be a tenth of its processor time."""
    return Settings(_env_file=file)


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
        raise SettingsError(f"{ENV_FILE} cannot be read as UTF-8 text: fix or remove it") from None
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
def _warn_of_unknown(names: tuple[str, ...]) -> None:
    for name, meant in unknown_names(names):
        _warn_once(f"{name} is no setting: did you mean {meant}?")


@cache
def _warn_once(message: str) -> None:
    log.warning(message)


def dagster_home() -> Path | None:
    """``DAGSTER_HOME`` where it is set: Dagster's own variable, for its own instance folder."""
    value = os.environ.get("DAGSTER_HOME")
    return Path(value).expanduser() if value else None
