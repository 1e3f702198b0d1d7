"""The destinations that there are, a row each. Every list of them, the database's check, every word
for them and every rule that holds for some of them alone comes from here.

To add one: a row, a package beside this file, a stand-in in ``sandbox/``, and its settings. The
order is the one in which people are shown them. This module imports no destination, so that
whatever needs their names alone stays light.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from tracking_pipeline.events.consent import Purpose

if TYPE_CHECKING:
    from tracking_pipeline.delivery.destinations.codes import Codes
    from tracking_pipeline.delivery.engine.destination import Destination
    from tracking_pipeline.http_client import DeliveryClient
    from tracking_pipeline.settings import Settings
    from tracking_pipeline.store.database import AsyncPool

ADVERTISING_NEEDS = (Purpose.AD_STORAGE, Purpose.AD_USER_DATA)
# An event that is older is not accepted; one of a physical store may be, by Meta, up to 62 days.
META_MAX_AGE = timedelta(days=7)
MEASUREMENT_PROTOCOL_MAX_AGE = timedelta(hours=72)
_ANALYTICS_NEEDS = (*ADVERTISING_NEEDS, Purpose.ANALYTICS_STORAGE)


class Implementation(Protocol):
    """The class of a destination, as far as it is made from settings. ``codes``: what its platform
    calls its errors, and the failures that they are."""

    codes: Codes

    def configured(
        self, settings: Settings, client: DeliveryClient, pool: AsyncPool
    ) -> Destination:
        """The destination as the settings have it; called where nothing of ``required`` is
        missing. Its limits are adjusted by whoever calls."""
        ...


@dataclass(frozen=True, kw_only=True)
class DestinationSpec:
    """What is known of a destination without asking it.

    ``title`` is its name for people. ``class_path`` names its class, ``module:Class``.
    ``settings`` is the prefix of its variables: ``META`` for ``META_REQUESTS_IN_FLIGHT``;
    ``required`` gives the variables that it cannot do without, with their values, and ``account``
    names those of which one alone says that the site means to use it.

    ``needs`` are the purposes that must not have been refused for an event to be sent, and
    ``needs_of_protocol`` those of a protocol that asks for more. Where only personalisation was
    refused, the event goes out and says so: Google has a field for it, Meta its ``opt_out``.

    ``age_limit`` gives how old an event may be, of the settings read so far; None: as old as it
    likes, or it hangs on the event.

    ``conversions_only``: other events are not handed to it. ``duplicate_window``: it takes a second
    event with the same id for a copy only so long after the first; None: no end of it is known;
    none at all: it recognises none.
    ``answers_later``: it accepts a request now and judges its events later. ``is_store``: it is the
    site's own and no platform.

    ``stand_in`` is the module in ``sandbox/`` that stands in for it, ``url_setting`` the setting
    that is pointed at the stand-in in a rehearsal, and ``rehearsal`` what else is set there.
    """

    name: str
    title: str
    class_path: str
    settings: str = ""
    required: Callable[[Settings], Mapping[str, object]] = lambda settings: {}
    account: tuple[str, ...] = ()
    needs: tuple[Purpose, ...] = ()
    needs_of_protocol: Mapping[str, tuple[Purpose, ...]] = field(default_factory=dict)
    age_limit: Callable[[Mapping[str, Any]], timedelta | None] = lambda settings: None
    conversions_only: bool = False
    duplicate_window: timedelta | None = None
    answers_later: bool = False
    is_store: bool = False
    stand_in: str | None = None
    url_setting: str = ""
    rehearsal: Mapping[str, str] = field(default_factory=dict)

    def implementation(self) -> Implementation:
        """The destination's class."""
        found: Implementation = pkgutil.resolve_name(self.class_path)
        return found

    @property
    def recognises_copies(self) -> bool:
        """Whether it takes a second event with the same id for a copy at all."""
        return self.duplicate_window != timedelta(0)

    def variable(self, name: str) -> str:
        """The variable of one of its settings, such as ``retry_horizon_hours``."""
        return f"{self.settings}_{name}".upper()

    def own_setting(self, settings: Settings, name: str) -> Any:
        """The value of a setting that every destination has under its prefix, such as
        ``requests_in_flight``; None where this one has it not."""
        return getattr(settings, self.variable(name).lower(), None)


def _needed_by_gtm(settings: Settings) -> Mapping[str, object]:
    needed: dict[str, object] = {"GTM_SERVER_URL": settings.gtm_server_url}
    if settings.gtm_server_protocol == "measurement_protocol":
        needed["GTM_MEASUREMENT_ID"] = settings.gtm_measurement_id
        needed["GTM_API_SECRET"] = settings.gtm_api_secret
    return needed


REGISTRY: tuple[DestinationSpec, ...] = (
    DestinationSpec(
        name="meta_capi",
        title="Meta Conversions API",
        class_path="tracking_pipeline.delivery.destinations.meta.capi:MetaCapi",
        settings="META",
        required=lambda settings: {
            "META_DATASET_ID": settings.meta_dataset_id,
            "META_ACCESS_TOKEN": settings.meta_access_token,
        },
        account=("meta_dataset_id", "meta_access_token"),
        needs=ADVERTISING_NEEDS,
        age_limit=lambda settings: META_MAX_AGE,
        # https://developers.facebook.com/docs/marketing-api/conversions-api/deduplicate-pixel-and-server-events
        duplicate_window=timedelta(hours=48),
        stand_in="tracking_pipeline.sandbox.meta",
        url_setting="meta_graph_url",
        rehearsal={"meta_dataset_id": "1000000000000001", "meta_access_token": "sandbox-token"},
    ),
    DestinationSpec(
        name="google_ec",
        title="Google enhanced conversions",
        class_path=("tracking_pipeline.delivery.destinations.google.enhanced_conversions:GoogleEc"),
        settings="GOOGLE",
        required=lambda settings: {
            "GOOGLE_ADS_ACCOUNT_ID": settings.google_ads_account_id,
            "GOOGLE_CONVERSION_ACTION_ID": settings.google_conversion_action_id,
            "GOOGLE_APPLICATION_CREDENTIALS (or GOOGLE_ACCESS_TOKEN)": (
                settings.google_application_credentials or settings.google_access_token
            ),
        },
        # Not the credentials file: many a machine has one for other purposes.
        account=("google_ads_account_id", "google_conversion_action_id", "google_access_token"),
        needs=ADVERTISING_NEEDS,
        age_limit=lambda settings: timedelta(days=settings.get("google_max_age_days", 0)),
        conversions_only=True,
        answers_later=True,
        stand_in="tracking_pipeline.sandbox.google",
        url_setting="google_data_manager_url",
        rehearsal={
            "google_ads_account_id": "1000000001",
            "google_conversion_action_id": "2000000002",
            "google_access_token": "sandbox-token",
        },
    ),
    DestinationSpec(
        name="gtm_server",
        title="Server-side Tag Manager",
        class_path="tracking_pipeline.delivery.destinations.gtm.server:GtmServer",
        settings="GTM",
        required=_needed_by_gtm,
        account=("gtm_server_url",),
        needs=ADVERTISING_NEEDS,
        needs_of_protocol={"measurement_protocol": _ANALYTICS_NEEDS},
        age_limit=lambda settings: (
            MEASUREMENT_PROTOCOL_MAX_AGE
            if settings.get("gtm_server_protocol") == "measurement_protocol"
            else None
        ),
        stand_in="tracking_pipeline.sandbox.gtm",
        url_setting="gtm_server_url",
    ),
    DestinationSpec(
        name="tiktok_events",
        title="TikTok Events API",
        class_path="tracking_pipeline.delivery.destinations.tiktok.events_api:TikTokEvents",
        settings="TIKTOK",
        required=lambda settings: {
            "TIKTOK_PIXEL_CODE": settings.tiktok_pixel_code,
            "TIKTOK_ACCESS_TOKEN": settings.tiktok_access_token,
        },
        account=("tiktok_pixel_code", "tiktok_access_token"),
        needs=ADVERTISING_NEEDS,
        age_limit=lambda settings: timedelta(days=settings.get("tiktok_max_age_days", 7)),
        # https://ads.tiktok.com/help/article/event-deduplication
        duplicate_window=timedelta(hours=48),
        stand_in="tracking_pipeline.sandbox.tiktok",
        url_setting="tiktok_url",
        rehearsal={"tiktok_pixel_code": "SANDBOX", "tiktok_access_token": "sandbox-token"},
    ),
    DestinationSpec(
        name="linkedin_capi",
        title="LinkedIn Conversions API",
        class_path="tracking_pipeline.delivery.destinations.linkedin.capi:LinkedInCapi",
        settings="LINKEDIN",
        required=lambda settings: {
            "LINKEDIN_ACCESS_TOKEN": settings.linkedin_access_token,
            "LINKEDIN_CONVERSION_RULES": settings.linkedin_conversion_rules,
        },
        account=("linkedin_access_token", "linkedin_conversion_rules"),
        # It has no field in which it could be told that personalisation was refused.
        needs=(*ADVERTISING_NEEDS, Purpose.AD_PERSONALIZATION),
        age_limit=lambda settings: timedelta(days=90),
        conversions_only=True,
        stand_in="tracking_pipeline.sandbox.linkedin",
        url_setting="linkedin_url",
        rehearsal={
            "linkedin_access_token": "sandbox-token",
            "linkedin_conversion_rules": "*=104012",
        },
    ),
    DestinationSpec(
        name="pinterest_capi",
        title="Pinterest Conversions API",
        class_path="tracking_pipeline.delivery.destinations.pinterest.capi:PinterestCapi",
        settings="PINTEREST",
        required=lambda settings: {
            "PINTEREST_AD_ACCOUNT_ID": settings.pinterest_ad_account_id,
            "PINTEREST_ACCESS_TOKEN": settings.pinterest_access_token,
        },
        account=("pinterest_ad_account_id", "pinterest_access_token"),
        needs=ADVERTISING_NEEDS,
        age_limit=lambda settings: timedelta(days=settings.get("pinterest_max_age_days", 7)),
        # What comes after an hour is offline to it, and of that it knows nothing again.
        duplicate_window=timedelta(hours=1),
        stand_in="tracking_pipeline.sandbox.pinterest",
        url_setting="pinterest_url",
        rehearsal={
            "pinterest_ad_account_id": "549000000000",
            "pinterest_access_token": "sandbox-token",
        },
    ),
    DestinationSpec(
        name="snapchat_capi",
        title="Snapchat Conversions API",
        class_path="tracking_pipeline.delivery.destinations.snapchat.capi:SnapchatCapi",
        settings="SNAPCHAT",
        required=lambda settings: {
            "SNAPCHAT_PIXEL_ID": settings.snapchat_pixel_id,
            "SNAPCHAT_ACCESS_TOKEN": settings.snapchat_access_token,
        },
        account=("snapchat_pixel_id", "snapchat_access_token"),
        needs=ADVERTISING_NEEDS,
        age_limit=lambda settings: timedelta(days=settings.get("snapchat_max_age_days", 37)),
        # Not written down; as long as others keep an id.
        duplicate_window=timedelta(hours=48),
        stand_in="tracking_pipeline.sandbox.snapchat",
        url_setting="snapchat_url",
        rehearsal={"snapchat_pixel_id": "sandbox-pixel", "snapchat_access_token": "sandbox-token"},
    ),
    DestinationSpec(
        name="microsoft_uet",
        title="Microsoft UET Conversions API",
        class_path="tracking_pipeline.delivery.destinations.microsoft.uet:MicrosoftUet",
        settings="MICROSOFT_UET",
        required=lambda settings: {
            "MICROSOFT_UET_TAG_ID": settings.microsoft_uet_tag_id,
            "MICROSOFT_UET_ACCESS_TOKEN": settings.microsoft_uet_access_token,
        },
        account=("microsoft_uet_tag_id", "microsoft_uet_access_token"),
        needs=ADVERTISING_NEEDS,
        age_limit=lambda settings: timedelta(days=7),
        stand_in="tracking_pipeline.sandbox.microsoft",
        url_setting="microsoft_uet_url",
        rehearsal={"microsoft_uet_tag_id": "1", "microsoft_uet_access_token": "sandbox-token"},
    ),
    DestinationSpec(
        name="reddit_capi",
        title="Reddit Conversions API",
        class_path="tracking_pipeline.delivery.destinations.reddit.capi:RedditCapi",
        settings="REDDIT",
        required=lambda settings: {
            "REDDIT_PIXEL_ID": settings.reddit_pixel_id,
            "REDDIT_ACCESS_TOKEN": settings.reddit_access_token,
        },
        account=("reddit_pixel_id", "reddit_access_token"),
        needs=ADVERTISING_NEEDS,
        age_limit=lambda settings: timedelta(days=7),
        # Between two requests of a server nothing is recognised.
        duplicate_window=timedelta(0),
        stand_in="tracking_pipeline.sandbox.reddit",
        url_setting="reddit_url",
        rehearsal={"reddit_pixel_id": "a2_sandbox", "reddit_access_token": "sandbox-token"},
    ),
    DestinationSpec(
        name="openai_ads",
        title="OpenAI Conversions API",
        class_path="tracking_pipeline.delivery.destinations.openai.ads:OpenAiAds",
        settings="OPENAI_ADS",
        required=lambda settings: {
            "OPENAI_ADS_PIXEL_ID": settings.openai_ads_pixel_id,
            "OPENAI_ADS_API_KEY": settings.openai_ads_api_key,
        },
        account=("openai_ads_pixel_id", "openai_ads_api_key"),
        needs=ADVERTISING_NEEDS,
        age_limit=lambda settings: timedelta(days=7),
        stand_in="tracking_pipeline.sandbox.openai",
        url_setting="openai_ads_url",
        rehearsal={"openai_ads_pixel_id": "sandbox-pixel", "openai_ads_api_key": "sandbox-key"},
    ),
    DestinationSpec(
        name="supabase",
        title="Event ledger",
        class_path="tracking_pipeline.delivery.destinations.ledger:Ledger",
        settings="SUPABASE",
        is_store=True,
    ),
)

DESTINATIONS: tuple[str, ...] = tuple(spec.name for spec in REGISTRY)
STORES: tuple[str, ...] = tuple(spec.name for spec in REGISTRY if spec.is_store)
ANSWERING_LATER: tuple[str, ...] = tuple(spec.name for spec in REGISTRY if spec.answers_later)
if TYPE_CHECKING:
    DestinationName: TypeAlias = str
    DestinationOrAll: TypeAlias = str
else:
    # What Dagster, typer and pydantic offer and accept.
    DestinationName = Literal[DESTINATIONS]
    _OR_ALL = ("all", *DESTINATIONS)
    DestinationOrAll = Literal[_OR_ALL]

_BY_NAME = {spec.name: spec for spec in REGISTRY}


def spec_of(name: str) -> DestinationSpec:
    """The row of the destination of this name. KeyError where there is none."""
    return _BY_NAME[name]
