"""What an answer of a server container means. Pure.

A container says little: which client took the request, not what its tags made of it. A request that
no client claims is answered with 400, and that is a fault of the configuration, never of the event.
The Data Client marks each of its answers with its CORS headers, and may be configured to answer
301, 302, 403 or 404 to what it has taken:
https://github.com/stape-io/data-client/blob/main/data-client-protocol.md

Failure policy: what a proxy or firewall refuses without that mark pauses the destination, even
where it meant one event. A pause loses nothing; a wrong guess would turn the queue into dead
letters.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

from tracking_pipeline.delivery.destinations.codes import Codes, known
from tracking_pipeline.delivery.destinations.http_answers import (
    DEFAULT_THROTTLE_SECONDS,
    bounded_throttle,
    is_web_page,
    unreadable,
    without_answer,
)
from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    Fault,
    Outcome,
    Paused,
    Refused,
    Rejected,
    Retry,
    Throttled,
    Uniform,
    Verdict,
)
from tracking_pipeline.delivery.failures import Failure, FailureOutcome
from tracking_pipeline.http_client import Answer, retry_after_seconds

_CONTAINER = "https://developers.google.com/tag-platform/tag-manager/server-side/send-data"
_DATA_CLIENT = "https://github.com/stape-io/data-client/blob/main/data-client-protocol.md"
OF_THE_DATA_CLIENT = "400 of the Data Client"
PREVIEWED = "400 with GTM_PREVIEW_TOKEN"

GtmProtocol: TypeAlias = Literal["data_client", "measurement_protocol"]

# Of the statuses that an operator can choose for what the Data Client has taken.
_CHOSEN_STATUSES = (301, 302, 403, 404)
_DATA_CLIENTS_MARK = "x-gtm-server-preview"

CODES = Codes(
    {
        **known(Failure.GTM_ACCESS_DENIED, _CONTAINER, "401", "403"),
        **known(Failure.GTM_PATH_UNKNOWN, _CONTAINER, "4xx"),
        **known(Failure.GTM_PREVIEW_TOKEN_REFUSED, _CONTAINER, PREVIEWED),
        **known(Failure.GTM_RATE_LIMITED, _CONTAINER, "429"),
        **known(Failure.GTM_REDIRECTS, _DATA_CLIENT, "3xx"),
        **known(Failure.GTM_EVENT_REFUSED, _DATA_CLIENT, "413", OF_THE_DATA_CLIENT),
        **known(Failure.GTM_SINGLE_EVENTS_ONLY, _DATA_CLIENT, "single_events_only"),
        **known(Failure.GTM_UNAVAILABLE, _CONTAINER, "408", "425", "5xx"),
    },
    {
        "retry": Failure.GTM_UNAVAILABLE,
        "throttled": Failure.GTM_RATE_LIMITED,
        "paused": Failure.GTM_PATH_UNKNOWN,
        "rejected": Failure.GTM_EVENT_REFUSED,
    },
)

_UNCLAIMED = (
    "no client claimed the request: check the path, and that the client is published in the "
    "container"
)
_UNCLAIMED_IN_PREVIEW = (
    f"{_UNCLAIMED}; or GTM_PREVIEW_TOKEN is no longer that of an open preview: unset it"
)
_REDIRECTED = (
    "the container redirects: GTM_SERVER_URL must be its final address, and the Data Client's "
    "response status 200"
)
_FORBIDDEN = "the container is closed to this worker: check its firewall and its authentication"
_LIST_TAKEN_AS_ONE_EVENT = (
    'the Data Client took a list for one event: tick "Accept Multiple Events" in it, '
    "or unset GTM_ACCEPT_MULTIPLE_EVENTS"
)


def classify(
    answer: Answer,
    now: datetime,
    protocol: GtmProtocol,
    *,
    sent_list: bool = False,
    previewed: bool = False,
) -> Verdict:
    """The verdict on a request's events; no word of the answer itself is kept.

    ``now`` is used only for a ``Retry-After`` date in an answer without a ``Date``. ``sent_list``
    says that the body was a JSON array of events, ``previewed`` that it went to the container's
    preview.
    """
    status = answer.status
    if answer.fault or status is None:
        return Uniform(without_answer(answer, expected="a container's"))
    by_data_client = protocol == "data_client" and _has_data_clients_mark(answer)
    if 200 <= status < 300 or (by_data_client and status in _CHOSEN_STATUSES):
        return Uniform(_taken(answer, status, protocol, sent_list=sent_list))
    if status == 413 or (by_data_client and status == 400):
        reason = f"refused by the container: HTTP {status}"
        return Refused(Rejected(reason, _fault(reason, "rejected", status)))
    return Uniform(_refused(answer, status, now, previewed=previewed))


def _has_data_clients_mark(answer: Answer) -> bool:
    return _DATA_CLIENTS_MARK in answer.headers.get("access-control-allow-headers", "").lower()


def _taken(answer: Answer, status: int, protocol: GtmProtocol, *, sent_list: bool) -> Outcome:
    """A success, unless the answer is not a container's, or tells that it misread the request.

    The Data Client answers with JSON or, where it is configured so, with nothing or a message of
    the operator's; a list with a list.
    """
    if is_web_page(answer):
        failure = Failure.DESTINATION_ANSWER_UNREADABLE
        message = "a web page answered, not the container"
        return Retry(Fault(message, failure, str(status), status))
    if protocol == "data_client" and 200 <= status < 300 and answer.body:
        body = answer.json()
        if body is None:
            return Retry(unreadable(answer, "retry"))
        if sent_list and isinstance(body, dict):
            name = "single_events_only"
            failure = CODES.failure("paused", name)
            return Paused(Fault(_LIST_TAKEN_AS_ONE_EVENT, failure, name, status))
    return Delivered(status)


def _refused(answer: Answer, status: int, now: datetime, *, previewed: bool) -> Outcome:
    asked = retry_after_seconds(answer.headers, now)
    if status == 429:
        wait = DEFAULT_THROTTLE_SECONDS if asked is None else asked
        fault = _fault("the container asks to slow down", "throttled", status)
        return Throttled(fault, bounded_throttle(wait))
    if status in (408, 425) or not 300 <= status < 500:
        return Retry(_fault(f"the container answered HTTP {status}", "retry", status), asked)
    if status < 400:
        return Paused(_fault(_REDIRECTED, "paused", status))
    if status in (401, 403):
        return Paused(_fault(_FORBIDDEN, "paused", status), certain=status == 401)
    if status == 400 and previewed:
        fault = _fault(_UNCLAIMED_IN_PREVIEW, "paused", status, PREVIEWED)
    else:
        fault = _fault(_UNCLAIMED, "paused", status)
    return Paused(fault, certain=False)


def _fault(message: str, outcome: FailureOutcome, status: int, *names: str) -> Fault:
    failure = CODES.failure(outcome, *names, str(status), f"{status // 100}xx")
    return Fault(message, failure, str(status), status)
