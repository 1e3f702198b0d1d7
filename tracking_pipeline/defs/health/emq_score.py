"""The asset ``emq_score``: our estimate of Meta's Event Match Quality, from the ledger."""

from typing import Any

import dagster as dg

from tracking_pipeline.defs.health.checks import results_of, specs_of
from tracking_pipeline.defs.health.labels import FRESHNESS, GROUP, OWNERS
from tracking_pipeline.defs.health.verdict import limits, no_verdict
from tracking_pipeline.defs.metadata import floats, table
from tracking_pipeline.defs.resources import HealthResource, TrackingResource
from tracking_pipeline.health.check import Reading
from tracking_pipeline.health.emq.keys import KEYS
from tracking_pipeline.health.emq.score import EmqScore, keys_of_term


@dg.asset(
    name="emq_score",
    group_name=GROUP,
    owners=OWNERS,
    kinds={"python", "postgres"},
    freshness_policy=FRESHNESS,
    check_specs=specs_of("emq_score"),
    description="Estimate, 0 to 10, of Meta's Event Match Quality over the last EMQ_WINDOW_DAYS, "
    "from the match keys that the ledger's conversions carry; not calibrated on Meta's own score. "
    "`emq_trend` is the difference to the equal period before, `coverage_..._percent` the share "
    "of events with each match key, `next_best_key` the key that would raise the score most if "
    "every event had it. No conversions in the window: no score. A failure means that the "
    "database could not be used, and says what to do.",
)
def emq_score(tracking: TrackingResource, health: HealthResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    reading = health.read(tracking)
    return dg.MaterializeResult(
        metadata=emq_metadata(reading), check_results=results_of("emq_score", reading)
    )


def emq_metadata(reading: Reading) -> dict[str, Any]:
    """The reading as typed metadata: every number under its own name."""
    emq = reading.readings.emq
    score = emq.score
    return {
        **floats({"emq_score": score.overall, "emq_trend": emq.trend}),
        **limits(reading, "emq_score"),
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
        **floats({f"coverage_{key}_percent": score.coverage_percent.get(key) for key in KEYS}),
        **no_verdict(reading, "emq_score"),
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
