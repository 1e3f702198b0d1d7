"""What Meta itself reports of the events' quality, by event name, and what is kept of it: the Event
Match Quality, and how the pixel's events and the server's meet.

https://developers.facebook.com/docs/marketing-api/conversions-api/dataset-quality-api

Optional: it needs a token that may read the dataset (ads_read and access to the dataset; a token
made in Events Manager has both). An outage or a refusal is a result, never an error: nothing of a
health check waits for Meta. The token goes in a header, never into the URL that Meta's examples
show it in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import psycopg

from tracking_pipeline.delivery.destinations.meta.account import MetaAccount, appsecret_proof
from tracking_pipeline.delivery.engine.redaction import redact
from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.emq.score import HIGHEST_SCORE, score
from tracking_pipeline.health.readings.rollup import full_hour
from tracking_pipeline.store.database import DatabaseError, connect, one_moment
from tracking_pipeline.store.health_history import (
    DEDUPLICATION_METRIC,
    REPORTED_METRIC,
    KeyFeedback,
)
from tracking_pipeline.store.health_snapshots import Snapshot, write_snapshots
from tracking_pipeline.store.match_key_rollup import read_counts

if TYPE_CHECKING:
    from tracking_pipeline.http_client import Answer, DeliveryClient

# "Event match quality is currently available only for web events", says Meta.
_QUALITY = (
    "event_name,event_match_quality{composite_score,"
    "match_key_feedback{identifier,coverage{percentage}}}"
)
_DEDUPLICATION = (
    "dedupe_key_feedback{dedupe_key,browser_events_with_dedupe_key{percentage},"
    "server_events_with_dedupe_key{percentage},"
    "overall_browser_coverage_from_dedupe_key{percentage}}"
)
FIELDS = f"web{{{_QUALITY},{_DEDUPLICATION}}}"
_SCORES_ALONE = f"web{{{_QUALITY}}}"
# "Invalid parameter", as a field is that this version of the API does not have.
_INVALID = 100

ReportedState = Literal["ok", "not_configured", "unavailable"]


@dataclass(frozen=True, slots=True)
class EventQuality:
    """Meta's score, 0 to 10, of one event name. ``coverage_percent`` is by Meta's names of the
    match keys; one that we do not know is kept as it is."""

    event_name: str
    score: float
    coverage_percent: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReportedEmq:
    """What Meta reported. ``detail`` says why there is nothing, without secrets."""

    state: ReportedState
    detail: str = ""
    events: tuple[EventQuality, ...] = ()
    deduplication: tuple[KeyFeedback, ...] = ()


def record_reported_emq(
    database_url: str,
    account: MetaAccount | None,
    config: HealthConfig,
    *,
    run_id: str | None = None,
) -> ReportedEmq:
    """Asks Meta, and keeps each score with the coverage that the ledger has for its event name at
    the same time. ``account`` None: Meta is not configured, and nobody is asked.

    Raises :class:`DatabaseError` when the database fails; Meta's failures are results.
    """
    if account is None:
        return ReportedEmq("not_configured", "set META_DATASET_ID and META_ACCESS_TOKEN")
    reported = asyncio.run(_ask_once(account))
    if reported.events or reported.deduplication:
        _keep(database_url, reported, config, run_id)
    return reported


async def _ask_once(account: MetaAccount) -> ReportedEmq:
    from tracking_pipeline.http_client import http_client  # noqa: PLC0415

    async with http_client(max_connections=1) as client:
        return await ask_meta(account, client)


async def ask_meta(account: MetaAccount, client: DeliveryClient) -> ReportedEmq:
    """One request for what Meta says of the account's dataset, and one more for the scores alone
    where it refuses what was asked for."""
    answer = await _ask(account, client, FIELDS)
    if _error(answer).get("code") == _INVALID:
        answer = await _ask(account, client, _SCORES_ALONE)
    return read_quality_answer(
        answer, secrets=(account.access_token, appsecret_proof(account) or "")
    )


async def _ask(account: MetaAccount, client: DeliveryClient, fields: str) -> Answer:
    from tracking_pipeline.http_client import get  # noqa: PLC0415

    proof = appsecret_proof(account)
    return await get(
        client,
        f"{account.url}/{account.api_version}/dataset_quality",
        params={
            "dataset_id": account.dataset_id,
            "fields": fields,
            **({"appsecret_proof": proof} if proof else {}),
        },
        headers={"authorization": f"Bearer {account.access_token}"},
    )


def _body(answer: Answer) -> Any:
    return answer.json() if answer.status is not None and answer.fault is None else None


def _error(answer: Answer) -> dict[str, Any]:
    """The error that an answer names; empty where it names none."""
    body = _body(answer)
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}


def read_quality_answer(answer: Answer, *, secrets: tuple[str, ...] = ()) -> ReportedEmq:
    """What an answer says. Pure. Entries that have no score, or not the documented form, are left
    out: the others are no worse for them."""
    body = _body(answer)
    if not isinstance(body, dict):
        what = f"HTTP {answer.status}" if answer.status else f"no answer ({answer.fault})"
        return ReportedEmq("unavailable", f"Meta gave {what}; the next reading asks again")
    error = body.get("error")
    if isinstance(error, dict):
        code, message = error.get("code"), error.get("message")
        said = redact(message, *secrets) if isinstance(message, str) else "no message"
        return ReportedEmq(
            "unavailable",
            f"Meta refused (code {code if isinstance(code, int) else 'unknown'}): {said}. If it "
            "stays so, check that META_ACCESS_TOKEN may read the dataset META_DATASET_ID",
        )
    listed = body.get("web")
    entries = listed if isinstance(listed, list) else []
    events = tuple(found for entry in entries if (found := _event_quality(entry)) is not None)
    feedback = tuple(each for entry in entries for each in _key_feedback(entry))
    missing = "" if events else "Meta has no score of a web event yet"
    return ReportedEmq("ok", missing, events, feedback)


def _event_quality(entry: object) -> EventQuality | None:
    if not isinstance(entry, dict):
        return None
    name, quality = entry.get("event_name"), entry.get("event_match_quality")
    composite = _number(quality.get("composite_score")) if isinstance(quality, dict) else None
    if not isinstance(name, str) or not name or composite is None:
        return None
    if not 0 <= composite <= HIGHEST_SCORE:
        return None
    feedback = quality.get("match_key_feedback") if isinstance(quality, dict) else None
    coverages: dict[str, float] = {}
    for each in feedback if isinstance(feedback, list) else []:
        identifier = each.get("identifier") if isinstance(each, dict) else None
        share = _share(each.get("coverage")) if isinstance(each, dict) else None
        if isinstance(identifier, str) and share is not None:
            coverages[identifier] = share
    return EventQuality(name, composite, coverages)


def _key_feedback(entry: object) -> Iterator[KeyFeedback]:
    name = entry.get("event_name") if isinstance(entry, dict) else None
    listed = entry.get("dedupe_key_feedback") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not name or not isinstance(listed, list):
        return
    for each in listed:
        key = each.get("dedupe_key") if isinstance(each, dict) else None
        if isinstance(key, str) and key:
            yield KeyFeedback(
                name,
                key,
                _share(each.get("browser_events_with_dedupe_key")),
                _share(each.get("server_events_with_dedupe_key")),
                _share(each.get("overall_browser_coverage_from_dedupe_key")),
            )


def _share(told: object) -> float | None:
    return _number(told.get("percentage")) if isinstance(told, dict) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _keep(
    database_url: str, reported: ReportedEmq, config: HealthConfig, run_id: str | None
) -> None:
    with connect(database_url) as connection:
        try:
            ours = _ledger_coverage(connection, config)
            rows = [
                Snapshot(REPORTED_METRIC, each.event_name, each.score, detail=_detail(each, ours))
                for each in reported.events
            ]
            rows += _deduplication_rows(reported.deduplication)
            write_snapshots(connection, uuid4(), rows, run_id=run_id)
        except psycopg.Error as error:
            raise DatabaseError(
                "the database failed while Meta's scores were kept (SQLSTATE "
                f"{error.sqlstate or 'none'}): materialize meta_reported_emq again"
            ) from None


def _deduplication_rows(found: Sequence[KeyFeedback]) -> list[Snapshot]:
    """A row an event name; its value is the share of the pixel's events that meet by their id."""
    by_name: dict[str, dict[str, KeyFeedback]] = {}
    for each in found:
        by_name.setdefault(each.event_name, {})[each.key] = each
    return [
        Snapshot(
            DEDUPLICATION_METRIC,
            name,
            keys["event_id"].covered_percent if "event_id" in keys else None,
            detail={
                key: {
                    "browser_percent": each.browser_percent,
                    "server_percent": each.server_percent,
                    "covered_percent": each.covered_percent,
                }
                for key, each in keys.items()
            },
        )
        for name, keys in by_name.items()
    ]


def _ledger_coverage(
    connection: psycopg.Connection[Any], config: HealthConfig
) -> Mapping[str, Mapping[str, float]]:
    """The coverage of each match key in the score's window, by event name, as far as the ledger is
    rolled up."""
    with one_moment(connection) as now:
        since = full_hour(now - timedelta(days=config.emq_window_days))
        counts = read_counts(connection, since, now)
    by_event = score(counts, config.emq_model, config.emq_weights).by_event
    return {name: of_name.coverage_percent for name, of_name in by_event.items()}


def _detail(
    reported: EventQuality, ours: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    return {
        "meta_coverage_percent": reported.coverage_percent,
        "ledger_coverage_percent": dict(ours.get(reported.event_name, {})),
    }
