"""How tracking would stand without the pipeline, beside how it stands. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from tracking_pipeline.health.emq.keys import ADDRESS_KEYS
from tracking_pipeline.health.formatting import count_of, duration, percent, score
from tracking_pipeline.health.report.evidence import Evidence
from tracking_pipeline.health.report.tables import KeyLine, RecoveryLine


@dataclass(frozen=True, slots=True)
class ThenAndNow:
    """One thing that the pipeline is for: how it would be without it, and how it is."""

    label: str
    then: str
    then_note: str
    now: str
    now_note: str


def then_and_now(
    evidence: Evidence, recovery: Sequence[RecoveryLine], keys: Sequence[KeyLine]
) -> list[ThenAndNow]:
    """Recovery, places, address keys, the score, and how fast a breach becomes an alert."""
    return [
        _recovery(evidence, recovery),
        *_places(evidence),
        *_address_keys(evidence, keys),
        _score(evidence),
        _time_to_alert(evidence),
    ]


def _recovery(evidence: Evidence, lines: Sequence[RecoveryLine]) -> ThenAndNow:
    failed = sum(line.failed for line in lines)
    by_hand = sum(line.by_hand for line in lines)
    nothing = "no event failed" if evidence.check else "no check yet"
    return ThenAndNow(
        "Failed events delivered after all",
        percent(100.0 * by_hand / failed if failed else None),
        "those that a human resolved",
        percent(evidence.value("recovery_rate") if failed else None),
        f"of {count_of(failed, 'failed event')} in 7 days" if failed else nothing,
    )


def _places(evidence: Evidence) -> list[ThenAndNow]:
    geo = evidence.geo
    return [
        ThenAndNow(
            f"Leads with a {part}",
            percent(before),
            "as people gave it",
            percent(now),
            f"of {count_of(geo.leads, 'lead')} in 7 days",
        )
        for part, before, now in (
            ("city", geo.before_city_percent, geo.with_city_percent),
            ("state", geo.before_state_percent, geo.with_state_percent),
            ("zip", geo.before_zip_percent, geo.with_zip_percent),
        )
    ]


def _address_keys(evidence: Evidence, lines: Sequence[KeyLine]) -> list[ThenAndNow]:
    window = count_of(evidence.config.emq_window_days, "day")
    line_of = {line.key: line for line in lines}
    return [
        ThenAndNow(
            f"Events with {line.label} ({line.key})",
            percent(line.coverage_percent - line.from_ip_percent),
            "without looked-up places",
            percent(line.coverage_percent),
            f"of the conversions in {window}",
        )
        for line in (line_of[key] for key in ADDRESS_KEYS if key in line_of)
    ]


def _score(evidence: Evidence) -> ThenAndNow:
    detail = evidence.detail("emq_score")
    return ThenAndNow(
        "EMQ score (estimate)",
        score(detail.get("without_ip_address_keys")),
        "without looked-up places",
        score(evidence.value("emq_score")),
        "of 10",
    )


def _time_to_alert(evidence: Evidence) -> ThenAndNow:
    seconds = evidence.breach_to_alert_seconds
    told = "nobody was told"
    if not seconds:
        known = any(each.alert_type == "failed_events_critical" for each in evidence.episodes)
        typical = "not known" if known else "no data"
        note = "the events that made it are old or gone" if known else "no queue alert lately"
        return ThenAndNow("From breach to alert", told, "", typical, note)
    typical = duration(timedelta(seconds=median(seconds)))
    note = f"median of {count_of(len(seconds), 'alert')} on the queue"
    return ThenAndNow("From breach to alert", told, "", typical, note)
