"""What the assets of a health check show: every number under its own name, as typed metadata."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

import dagster as dg

from tracking_pipeline.defs.metadata import floats, table
from tracking_pipeline.delivery.destinations.registry import DESTINATIONS
from tracking_pipeline.geo.coverage import GeoCoverage
from tracking_pipeline.health.check import CheckReading, CheckResult
from tracking_pipeline.health.emq.platforms import KEY_BIT_OF
from tracking_pipeline.health.emq.score import EmqScore, keys_of_term
from tracking_pipeline.health.formatting import duration
from tracking_pipeline.health.metrics import Metric, alert_types
from tracking_pipeline.health.readings.events import EmqReading
from tracking_pipeline.health.readings.queue import RecoveryReading, recovered_percent
from tracking_pipeline.health.view.accounting import line_json
from tracking_pipeline.health.view.summary import system_status
from tracking_pipeline.store.queue_counts import Waiting

SOURCES = ("user", "session", "mmdb", "ip_api", "ipinfo")
_SHARES = tuple(
    f"{when}_{part}_percent" for when in ("with", "before") for part in ("city", "state", "zip")
)


def emq_metadata(reading: CheckReading) -> dict[str, Any]:
    """The reading as typed metadata: every number under its own name."""
    emq = reading.readings.emq
    score = emq.score
    return {
        **floats({"emq_score": score.overall, "emq_trend": emq.trend}),
        **_limits(reading, "emq_score"),
        "events": score.events,
        "window_days": emq.window_days,
        "model": reading.config.emq_model,
        **floats(
            {
                "emq_score_before": emq.before.overall,
                "emq_score_without_ip_address_keys": score.without_ip_address_keys,
            }
        ),
        **_next_best(score),
        **table("by_event", _by_event(score)),
        **table("by_match_key", _by_key(score)),
        **table("by_destination", _by_destination(emq)),
        **floats({f"coverage_{key}_percent": emq.coverage.parts.get(key) for key in KEY_BIT_OF}),
        **floats({f"{name}_matchable_percent": each for name, each in emq.matchable.parts.items()}),
        **_no_verdict(reading, "emq_score"),
    }


def _next_best(score: EmqScore) -> dict[str, Any]:
    if score.state == "no_data":
        return {}
    return {
        "next_best_key": score.next_best_key or "none: every key of the model is there",
        **floats({"next_best_key_gain": score.next_best_gain}),
    }


def _by_event(score: EmqScore) -> list[dict[str, Any]]:
    """The event names, the most frequent first."""
    names = sorted(score.by_event.items(), key=lambda item: -item[1].events)
    return [
        {"event": name, "events": each.events, "score": round(each.score, 2)}
        for name, each in names
    ]


def _by_key(score: EmqScore) -> list[dict[str, Any]]:
    """What each term of the model would add with every event, the most first. ``network``, the
    visitor's address and browser together, has the coverage of the rarer of the two."""
    gains = sorted(score.gain_by_key.items(), key=lambda item: -item[1])
    return [
        {
            "match key": term,
            "events with it, %": round(
                min(score.coverage_percent[key] for key in keys_of_term(term)), 1
            ),
            "gain if all had it": round(gain, 2),
        }
        for term, gain in gains
    ]


def _by_destination(emq: EmqReading) -> list[dict[str, Any]]:
    """What each destination could match: the share of the events with enough of its match keys, and
    with each of them. Empty where its platform says nothing of that, or has no such key."""
    return [
        {
            "destination": name,
            "enough, %": "" if each.matchable_percent is None else round(each.matchable_percent, 1),
            **{
                key: round(each.percent_by_key[key], 1) if key in each.percent_by_key else ""
                for key in KEY_BIT_OF
            },
        }
        for name, each in emq.platforms.items()
    ]


def queue_metadata(reading: CheckReading) -> dict[str, Any]:
    """The reading as typed metadata: every number under its own name."""
    queue, dead = reading.readings.queue, reading.readings.dead_letters
    withheld = reading.readings.withheld
    by_destination: dict[str, Waiting] = {
        **{name: Waiting(name) for name in DESTINATIONS},
        **queue.by_destination,
    }
    return {
        "queue_depth": queue.waiting,
        **_limits(reading, "queue_depth"),
        "due": queue.due,
        "leased": queue.leased,
        **floats(
            {
                "oldest_age_seconds": queue.oldest_age_seconds or 0.0,
                "growth_per_hour": queue.growth_per_hour,
            }
        ),
        "dead_letters": queue.dead_letters,
        "dead_letters_of_a_day": dead.events,
        **_limits(reading, "dead_letters", "dead_letters_"),
        "withheld_of_a_day": withheld.last_day,
        "withheld_of_a_week": withheld.last_week,
        "paused_destinations": len(reading.readings.paused),
        **table("by_destination", [_queue_row(each, reading) for each in by_destination.values()]),
        **table(
            "dead_letters_by_reason",
            [
                {"events": each.events, "destination": each.destination, "reason": each.reason}
                for each in queue.dead_letters_by_reason
            ],
        ),
        **table("withheld_by_reason", [asdict(each) for each in withheld.by_reason]),
        **{
            f"{name}_{number}": getattr(each, number)
            for name, each in by_destination.items()
            for number in ("waiting", "due", "dead_letters")
        },
        **floats(
            {
                f"{name}_oldest_age_seconds": each.oldest_age_seconds or 0.0
                for name, each in by_destination.items()
            }
        ),
    }


def _queue_row(each: Waiting, reading: CheckReading) -> dict[str, Any]:
    age = each.oldest_age_seconds
    return {
        "destination": each.destination,
        "waiting": each.waiting,
        "due": each.due,
        "oldest": "" if age is None else duration(timedelta(seconds=age)),
        "dead letters": each.dead_letters,
        "paused": reading.readings.paused.get(each.destination, ""),
    }


def error_metadata(reading: CheckReading) -> dict[str, Any]:
    """The reading as typed metadata: every number under its own name."""
    rate, recovery = reading.readings.error_rate, reading.readings.recovery
    by_destination = {
        name: rate.percent_by_destination.get(name, 0.0) if rate.events else None
        for name in DESTINATIONS
    }
    return {
        **floats({"error_rate": rate.percent}),
        **_limits(reading, "error_rate"),
        "failed": rate.failed,
        "events": rate.events,
        "window_hours": rate.window_hours,
        **table(
            "by_destination",
            [
                {
                    "destination": name,
                    "failed": rate.failed_by_destination.get(name, 0),
                    "percent": round(percent, 2),
                }
                for name, percent in by_destination.items()
                if percent is not None
            ],
        ),
        **table("recovery_by_age", _by_age(recovery)),
        **floats({f"{name}_error_rate": percent for name, percent in by_destination.items()}),
        **{f"{name}_failed": rate.failed_by_destination.get(name, 0) for name in DESTINATIONS},
        **floats({"recovery_rate_percent": recovery.percent}),
        "recovered": recovery.total.resolved,
        "recovered_by_hand": recovery.total.by_hand,
        **floats(
            {
                f"recovery_rate_{age.replace(' ', '_')}_percent": recovered_percent(counted)
                for age, counted in recovery.by_age.items()
            }
        ),
        **_no_verdict(reading, "error_rate"),
    }


def _by_age(recovery: RecoveryReading) -> list[dict[str, Any]]:
    return [
        {
            "failed": age,
            "events": counted.failed,
            "delivered": counted.resolved,
            "by hand": counted.by_hand,
            "given up": counted.dead_letters,
        }
        for age, counted in recovery.by_age.items()
    ]


def accounting_metadata(reading: CheckReading) -> dict[str, Any]:
    """The reading as typed metadata: every number under its own name."""
    found = reading.readings.accounting
    lines = {name: line_json(each.total) for name, each in found.destinations.items()}
    return {
        **floats({"delivery_rate": reading.readings.delivery_rate.measured.value}),
        **_limits(reading, "delivery_rate"),
        **table(
            "by_destination",
            [
                {"destination": name, "became": became, "events": events}
                for name, line in lines.items()
                for became, events in _flat(line).items()
            ],
        ),
        **table(
            "by_reason",
            [
                {
                    "destination": name,
                    "became": each.became,
                    "reason": each.reason,
                    "events": each.events,
                }
                for name, account in found.destinations.items()
                for each in account.reasons
            ],
        ),
        **floats(
            {
                f"{name}_{number}": value
                for name, each in found.destinations.items()
                for number, value in (
                    ("delivered_percent", each.total.percent),
                    ("at_risk", each.at_risk.amount),
                )
            }
        ),
        **{
            f"{name}_{became}": events
            for name, line in lines.items()
            for became, events in _flat(line).items()
        },
        "repeated_orders": found.repeated_orders,
        "hours_left": found.hours_left,
        **_no_verdict(reading, "delivery_rate"),
    }


def _flat(line: dict[str, Any]) -> dict[str, int]:
    """The numbers of a line, what was delivered by how among them."""
    delivered = {f"delivered_{how}": n for how, n in line["delivered"].items() if n is not None}
    return {**{name: n for name, n in line.items() if name != "delivered"}, **delivered}


def coverage_metadata(coverage: GeoCoverage) -> dict[str, Any]:
    """The coverage as typed metadata: every number under its own name. Without leads there are no
    shares to plot."""
    sources = [{"source": source, "leads": count} for source, count in coverage.by_source.items()]
    shares = {name: getattr(coverage, name) for name in ("complete_percent", *_SHARES)}
    return {
        **table("by_source", sources),
        "leads": coverage.leads,
        "waiting": coverage.waiting,
        **floats(shares, decimals=2),
        **{f"from_{source}": coverage.by_source.get(source, 0) for source in SOURCES},
    }


def alerts_metadata(result: CheckResult) -> dict[str, Any]:
    """What the check made of the alerts: every number under its own name, and the open ones."""
    recorded = result.recorded
    alerts = recorded.active_alerts
    system = system_status(alerts, recorded.levels)
    open_types = {alert.alert_type for alert in alerts}
    return {
        "status": system.status,
        "reason": system.reason,
        "open_alerts": len(alerts),
        "critical_alerts": sum(alert.severity == "critical" for alert in alerts),
        "warning_alerts": sum(alert.severity == "warning" for alert in alerts),
        "alerts_created": len(recorded.alerts_created),
        "alerts_resolved": len(recorded.alerts_resolved),
        **table("alerts", [{"alert": each.alert_type, "message": each.message} for each in alerts]),
        **{f"open_{name}": int(name in open_types) for name in alert_types()},
        "check_id": str(recorded.check_id),
        "checked_at": dg.MetadataValue.timestamp(result.readings.taken_at),
    }


def _limits(reading: CheckReading, metric: Metric, prefix: str = "") -> dict[str, Any]:
    """The thresholds of a metric, and the level that its value has by them."""
    thresholds = reading.config.thresholds[metric]
    return {
        f"{prefix}level": reading.evaluations[metric].result.level,
        **floats(
            {
                f"{prefix}warning_{thresholds.direction}": thresholds.warning,
                f"{prefix}critical_{thresholds.direction}": thresholds.critical,
            }
        ),
    }


def _no_verdict(reading: CheckReading, metric: Metric) -> dict[str, Any]:
    """Why a metric has no level, where it has none."""
    detail = reading.evaluations[metric].result.detail
    return {"no_verdict": detail} if detail else {}
