"""A server-side Google Tag Manager container, by way of its Data Client or Measurement Protocol.

https://developers.google.com/tag-platform/tag-manager/server-side

2xx means that a client took the event and ran the container; whether its tags then reached their
platforms, it does not say.

An event whose person refused advertising is not sent: what a container's tags make of it is not
known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

import httpx
import orjson

from tracking_pipeline.delivery.destinations.gtm import data_client as gtm_data_client
from tracking_pipeline.delivery.destinations.gtm import (
    measurement_protocol as gtm_measurement_protocol,
)
from tracking_pipeline.delivery.destinations.gtm.answers import CODES, GtmProtocol, classify
from tracking_pipeline.delivery.destinations.gtm.visitor import visitor_of
from tracking_pipeline.delivery.destinations.http_answers import (
    DEFAULT_THROTTLE_SECONDS,
    classify_status,
    unreadable,
    without_answer,
)
from tracking_pipeline.delivery.destinations.registry import DestinationName, spec_of
from tracking_pipeline.delivery.engine.destination import Limits, Reply
from tracking_pipeline.delivery.engine.destination_check import DestinationCheck, judged
from tracking_pipeline.delivery.engine.events import FailedEvent, Prepared
from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    NotSent,
    Uniform,
    delivered_with,
)
from tracking_pipeline.delivery.engine.readiness import ready_conversion
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.events.conversion import Conversion
from tracking_pipeline.events.person import GeoMatchKeys
from tracking_pipeline.events.policy import DEFAULT_POLICY, ReadingPolicy, reading_policy
from tracking_pipeline.http_client import Answer, DeliveryClient, get, post, retry_after_seconds
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.database import AsyncPool

# Asks a server container whether it runs. No event is sent: the container's tags would fire.
#
# The container answers for itself at ``/healthz``; on Cloud Run, which keeps that path to itself,
# at ``/healthy``. Whether a client takes what is sent to it, that does not say.
# https://developers.google.com/tag-platform/tag-manager/server-side/manual-setup-guide
#
# The Measurement Protocol has a form that only validates, ``/debug/mp/collect``, which Google's own
# servers have and a container may pass on. It gets a list without events, so that nothing can come
# of it wherever it is taken for the real thing.

HEALTH_PATHS = ("/healthz", "/healthy")
VALIDATION_PATH = "/debug/mp/collect"
_CLIENT_ID = "1.1"


async def check_container(
    url: str, client: DeliveryClient, headers: Mapping[str, str], now: datetime
) -> DestinationCheck:
    """A request or two for the container's health."""
    answer = Answer()
    for path in HEALTH_PATHS:
        answer = await get(client, url + path, params={}, headers=headers)
        if answer.status != 404:
            break
    return read_health_answer(answer, now)


def read_health_answer(answer: Answer, now: datetime) -> DestinationCheck:
    """What an answer about the container's health says."""
    if answer.fault or answer.status is None:
        outcome = without_answer(answer, expected="a container's")
        return judged(Uniform(outcome), duration_ms=answer.duration_ms)
    if 200 <= answer.status < 300:
        return DestinationCheck("ok", "the container runs", duration_ms=answer.duration_ms)
    verdict = classify_status(
        answer,
        partial(unreadable, answer),
        refusal=lambda fault: fault.message,
        retry_after_seconds=retry_after_seconds(answer.headers, now),
        throttle_seconds=DEFAULT_THROTTLE_SECONDS,
    )
    found = judged(verdict, duration_ms=answer.duration_ms)
    if answer.status == 404:
        paths = " nor at ".join(HEALTH_PATHS)
        return replace(found, detail=f"no container answers at {paths}: check GTM_SERVER_URL")
    return found


async def with_validation(
    found: DestinationCheck,
    url: str,
    client: DeliveryClient,
    headers: Mapping[str, str],
    credentials: Mapping[str, str | None],
) -> DestinationCheck:
    """The check, and what the container's validation says, if it has one. The secret is in the URL
    by Google's design, so the URL is told to nobody."""
    if found.state != "ok":
        return found
    address = str(httpx.URL(url + VALIDATION_PATH, params=dict(credentials)))
    content = orjson.dumps({"client_id": _CLIENT_ID, "events": []})
    answer = await post(client, address, content=content, headers=headers)
    return read_validation(found, answer)


def read_validation(found: DestinationCheck, answer: Answer) -> DestinationCheck:
    """The check with what the answer to the validation adds. Only a refusal of the credentials is
    one: that there are no events is what else it may find."""
    if answer.status in (401, 403):
        return DestinationCheck(
            "refused",
            "the container refuses GTM_MEASUREMENT_ID or GTM_API_SECRET",
            Failure.GTM_ACCESS_DENIED,
            str(answer.status),
            answer.duration_ms,
        )
    body = answer.json()
    has_one = isinstance(body, dict) and isinstance(body.get("validationMessages"), list)
    says = "validates the Measurement Protocol" if has_one else "has no validation to ask"
    return replace(found, detail=f"{found.detail}; it {says}")


# A container takes the request's agent for the visitor's where an event has none: this one is
# nobody's browser.
_USER_AGENT = "tracking-pipeline"


@dataclass(frozen=True)
class GtmContainer:
    """Where events go and in which form. ``url`` has no trailing slash.

    ``accept_multiple_events`` says that the container's Data Client has that option ticked;
    ``measurement_id`` and ``api_secret`` belong to the Measurement Protocol; ``preview_token``
    shows what is sent in the container's preview. Raises ValueError where the protocol lacks what
    it needs.
    """

    url: str
    protocol: GtmProtocol = "data_client"
    accept_multiple_events: bool = False
    measurement_id: str | None = None
    api_secret: str | None = field(default=None, repr=False)
    preview_token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        needs_both = self.protocol == "measurement_protocol"
        if needs_both and not (self.measurement_id and self.api_secret):
            raise ValueError("the Measurement Protocol needs a measurement id and an API secret")


class GtmServer:
    """The destination ``gtm_server``."""

    name: DestinationName = "gtm_server"
    codes = CODES

    def __init__(
        self,
        container: GtmContainer,
        client: DeliveryClient,
        *,
        country: str = "US",
        site_url: str | None = None,
        geo_match_keys: GeoMatchKeys = "all",
        policy: ReadingPolicy = DEFAULT_POLICY,
    ) -> None:
        """``country`` (ISO 3166 alpha-2) reads phones that carry no country code; ``site_url``
        turns the path of a page into its address; ``policy`` says how payloads are read."""
        self._policy = policy
        spec = spec_of(self.name)
        self._needs = spec.needs_of_protocol.get(container.protocol, spec.needs)
        self.limits = _limits(container)
        self._protocol: GtmProtocol = container.protocol
        self._client = client
        self._country = country
        self._site_url = site_url
        self._geo_match_keys: GeoMatchKeys = geo_match_keys
        self._container = container
        self._url = _url(container)
        self._headers = {"content-type": "application/json", "user-agent": _USER_AGENT}
        self._previewed = bool(container.preview_token)
        if container.preview_token:
            self._headers["x-gtm-server-preview"] = container.preview_token

    @classmethod
    def configured(cls, settings: Settings, client: DeliveryClient, pool: AsyncPool) -> GtmServer:
        """The container that the settings name."""
        assert settings.gtm_server_url is not None  # noqa: S101  what is missing was seen before
        secret, preview = settings.gtm_api_secret, settings.gtm_preview_token
        container = GtmContainer(
            url=settings.gtm_server_url,
            protocol=settings.gtm_server_protocol,
            accept_multiple_events=settings.gtm_accept_multiple_events,
            measurement_id=settings.gtm_measurement_id,
            api_secret=secret.get_secret_value() if secret else None,
            preview_token=preview.get_secret_value() if preview else None,
        )
        return cls(
            container,
            client,
            country=settings.default_country,
            site_url=settings.site_url,
            geo_match_keys=settings.geo_match_keys,
            policy=reading_policy(settings),
        )

    def prepare(self, event: FailedEvent) -> Prepared | NotSent:
        """The event in the protocol's form, with its own time, visitor and client id."""
        conversion = ready_conversion(
            event, self._needs, site_url=self._site_url, policy=self._policy
        )
        if not isinstance(conversion, Conversion):
            return conversion
        visitor = visitor_of(event, conversion, self._country, self._geo_match_keys)
        if self._protocol == "measurement_protocol":
            return gtm_measurement_protocol.prepare(event, conversion, visitor, self._policy)
        return gtm_data_client.prepare(event, conversion, visitor)

    async def send(self, batch: Sequence[Prepared], now: datetime) -> Reply:
        """One POST of the batch, whose members have the same ``shared``."""
        content = (
            gtm_measurement_protocol.content(batch)
            if self._protocol == "measurement_protocol"
            else gtm_data_client.content(batch)
        )
        answer = await post(self._client, self._url, content=content, headers=self._headers)
        sent_list = self._protocol == "data_client" and len(batch) > 1
        verdict = classify(
            answer, now, self._protocol, sent_list=sent_list, previewed=self._previewed
        )
        outcome = verdict.outcome if isinstance(verdict, Uniform) else None
        if isinstance(outcome, Delivered) and outcome.http_status is not None:
            verdict = delivered_with(outcome.http_status, len(batch), _left_out(batch))
        return Reply(verdict, answer.duration_ms)

    async def check(self, now: datetime) -> DestinationCheck:
        """Asks whether the container runs, and what it says of the credentials, if it does."""
        url, headers = self._container.url, self._headers
        found = await check_container(url, self._client, headers, now)
        if self._protocol == "data_client":
            return found
        credentials = _credentials(self._container)
        return await with_validation(found, url, self._client, headers, credentials)


def _left_out(batch: Sequence[Prepared]) -> dict[int, list[str]]:
    """The warning of each event that goes without some of its parameters: the protocol answers
    alike, whatever of an event it takes."""
    return {
        position: [gtm_measurement_protocol.PARAMETERS_LEFT_OUT]
        for position, member in enumerate(batch)
        if any(name == gtm_measurement_protocol.PARAMETER for name, _ in member.dropped)
    }


def _limits(container: GtmContainer) -> Limits:
    if container.protocol == "measurement_protocol":
        return gtm_measurement_protocol.LIMITS
    if container.accept_multiple_events:
        return gtm_data_client.MANY_EVENTS
    return gtm_data_client.ONE_EVENT


def _url(container: GtmContainer) -> str:
    """The secret is in the URL by Google's design, so the URL is told to nobody."""
    if container.protocol == "data_client":
        return container.url + gtm_data_client.PATH
    address = container.url + gtm_measurement_protocol.PATH
    return str(httpx.URL(address, params=_credentials(container)))


def _credentials(container: GtmContainer) -> dict[str, str | None]:
    return {"measurement_id": container.measurement_id, "api_secret": container.api_secret}
