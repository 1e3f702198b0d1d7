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
from tracking_pipeline.http_client import Answer, retry_after_seconds

GtmProtocol: TypeAlias = Literal["data_client", "measurement_protocol"]

# Of the statuses that an operator can choose for what the Data Client has taken.
_CHOSEN_STATUSES = (301, 302, 403, 404)
_DATA_CLIENTS_MARK = "x-gtm-server-preview"

_UNCLAIMED = (
    "no client claimed the request: check the path, and that the client is published in the "
    "container"
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
    answer: Answer, now: datetime, protocol: GtmProtocol, *, sent_list: bool = False
) -> Verdict:
    """The verdict on a request's events; no word of the answer itself is kept.

    ``now`` is used only for a ``Retry-After`` date in an answer without a ``Date``. ``sent_list``
    says that the body was a JSON array of events.
    """
    status = answer.status
    if answer.fault or status is None:
        return Uniform(without_answer(answer, expected="a container's"))
    by_data_client = protocol == "data_client" and _has_data_clients_mark(answer)
    if 200 <= status < 300 or (by_data_client and status in _CHOSEN_STATUSES):
        return Uniform(_taken(answer, status, protocol, sent_list=sent_list))
    if status == 413 or (by_data_client and status == 400):
        reason = f"refused by the container: HTTP {status}"
        return Refused(Rejected(reason, Fault(reason, str(status), status)))
    return Uniform(_refused(answer, status, now))


def _has_data_clients_mark(answer: Answer) -> bool:
    return _DATA_CLIENTS_MARK in answer.headers.get("access-control-allow-headers", "").lower()


def _taken(answer: Answer, status: int, protocol: GtmProtocol, *, sent_list: bool) -> Outcome:
    """A success, unless the answer is not a container's, or tells that it misread the request.

    The Data Client answers with JSON or, where it is configured so, with nothing or a message of
    the operator's; a list with a list.
    """
    if is_web_page(answer):
        fault = Fault("a web page answered, not the container", str(status), status)
        return Retry(fault)
    if protocol == "data_client" and 200 <= status < 300 and answer.body:
        body = answer.json()
        if body is None:
            return Retry(unreadable(status))
        if sent_list and isinstance(body, dict):
            return Paused(Fault(_LIST_TAKEN_AS_ONE_EVENT, "single_events_only", status))
    return Delivered(status)


def _refused(answer: Answer, status: int, now: datetime) -> Outcome:
    asked = retry_after_seconds(answer.headers, now)
    if status == 429:
        wait = DEFAULT_THROTTLE_SECONDS if asked is None else asked
        fault = Fault("the container asks to slow down", str(status), status)
        return Throttled(fault, bounded_throttle(wait))
    if status in (408, 425) or not 300 <= status < 500:
        return Retry(Fault(f"the container answered HTTP {status}", str(status), status), asked)
    if status < 400:
        return Paused(Fault(_REDIRECTED, str(status), status))
    message = _FORBIDDEN if status in (401, 403) else _UNCLAIMED
    return Paused(Fault(message, str(status), status), certain=status == 401)
