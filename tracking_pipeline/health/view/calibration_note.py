"""How far our EMQ estimate can be trusted: what Meta's own scores say about it. Pure.

Meta's scores are compared with the estimate by event name, one pair a day. The fit is offered, not
applied: whoever wants it sets ``EMQ_WEIGHTS``, and alert thresholds stay the operator's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timezone
from statistics import fmean

from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.emq.calibration import (
    LEAST_FOR_A_FIT,
    Calibration,
    ReportedScoreDay,
    calibrate,
)
from tracking_pipeline.health.emq.keys import KEY_WORDS
from tracking_pipeline.health.emq.score import weights_of
from tracking_pipeline.health.formatting import count_of
from tracking_pipeline.store.health_history import ReportedScore

# Meta's names of the match keys where they are not ours, as far as Meta documents them:
# https://developers.facebook.com/docs/marketing-api/conversions-api/dataset-quality-api
KEY_OF_IDENTIFIER = {
    "email": "em",
    "phone": "ph",
    "ip_address": "client_ip_address",
    "user_agent": "client_user_agent",
    "external_id": "external_id",
    "fbc": "fbc",
    "fbp": "fbp",
}
# Below that, the two count different events, and nothing is lost.
_LEAST_GAP_PERCENT = 10.0
_LEAST_IMPROVEMENT = 0.05


@dataclass(frozen=True, slots=True)
class CalibrationNote:
    """``label`` stands beside every estimate. ``setting`` is the offered value of ``EMQ_WEIGHTS``,
    None where there is nothing to offer. ``error`` is the mean absolute error, in points of the
    score, of what is offered, or of what is in use where nothing is. ``calibration`` None: there is
    nothing to compare with."""

    label: str
    sentences: Sequence[str] = ()
    setting: str | None = None
    error: float | None = None
    calibration: Calibration | None = None
    latest: dict[str, ReportedScore] = field(default_factory=dict)


def calibration_note(
    reported: Sequence[ReportedScore], config: HealthConfig, *, asks_meta: bool
) -> CalibrationNote:
    """What ``reported``, oldest first, says about the estimates of this config."""
    latest = {each.event_name: each for each in reported}
    snapshots = daily_snapshots(reported)
    if config.emq_model != "saturating":
        sentence = "Calibration is for the saturating model; EMQ_MODEL is another one."
        return CalibrationNote("estimate", (sentence,), latest=latest)
    if not snapshots:
        return CalibrationNote("uncalibrated estimate", (_why_nothing(asks_meta),), latest=latest)
    defaults = weights_of("saturating")
    gaps = coverage_gaps(list(latest.values()))
    calibration = calibrate(snapshots, defaults)
    if dict(config.emq_weights) != defaults:
        in_use = Calibration("none", dict(config.emq_weights))
        error = fmean(
            abs(in_use.estimate(s.event_name, s.coverage_percent) - s.reported_score)
            for s in snapshots
        )
        label = f"calibrated by EMQ_WEIGHTS, off by {error:.2f}"
        sentence = (
            f"With the weights of EMQ_WEIGHTS the estimate is off by {error:.2f} points on "
            f"{count_of(len(snapshots), 'score')} that Meta reported."
        )
        return CalibrationNote(
            label, (sentence, *gaps), error=error, calibration=calibration, latest=latest
        )
    offered = _is_better(calibration)
    return CalibrationNote(
        label="uncalibrated estimate",
        sentences=(_offer(calibration), *gaps),
        setting=calibration.as_setting() if offered and calibration.kind == "fit" else None,
        error=calibration.mean_absolute_error if offered else calibration.uncalibrated_error,
        calibration=calibration,
        latest=latest,
    )


def daily_snapshots(reported: Sequence[ReportedScore]) -> list[ReportedScoreDay]:
    """One pair of score and coverage an event name and day (UTC), the last of each. Scores without
    a coverage of ours are left out."""
    by_day = {
        (each.taken_at.astimezone(timezone.utc).date(), each.event_name): each
        for each in reported
        if each.ledger_coverage_percent
    }
    return [
        ReportedScoreDay(day, name, each.score, each.ledger_coverage_percent)
        for (day, name), each in by_day.items()
    ]


def coverage_gaps(latest: Sequence[ReportedScore]) -> list[str]:
    """Where Meta sees a key with fewer events than the ledger has it."""
    found = []
    for each in latest:
        for identifier, seen in each.meta_coverage_percent.items():
            key = KEY_OF_IDENTIFIER.get(identifier)
            ours = each.ledger_coverage_percent.get(key, 0.0) if key else 0.0
            if key and ours - seen >= _LEAST_GAP_PERCENT:
                found.append(
                    f"Meta sees {KEY_WORDS[key]} with {seen:.0f} % of the events {each.event_name},"
                    f" the ledger with {ours:.0f} %: it is lost or malformed on its way, which no "
                    "weight fixes."
                )
    return found


def _why_nothing(asks_meta: bool) -> str:
    if asks_meta:
        return (
            "No score of Meta's is on record to compare with: materialize the asset "
            "meta_reported_emq; it is read once a day."
        )
    return (
        "There is no score of Meta's to compare with: set META_DATASET_ID and META_ACCESS_TOKEN, "
        "and the asset meta_reported_emq reads them."
    )


def _is_better(calibration: Calibration) -> bool:
    fitted, default = calibration.mean_absolute_error, calibration.uncalibrated_error
    return fitted is not None and default is not None and default - fitted >= _LEAST_IMPROVEMENT


def _offer(calibration: Calibration) -> str:
    count = count_of(calibration.snapshots, "score")
    fitted, default = calibration.mean_absolute_error, calibration.uncalibrated_error
    if fitted is None or default is None:
        return f"Meta has reported {count}: too few to calibrate with."
    if not _is_better(calibration):
        return (
            f"On {count} that Meta reported, the estimate is off by {default:.2f} points, and a "
            "fit would not be better."
        )
    compared = (
        f"On {count} that Meta reported, the estimate is off by {default:.2f} points; "
        f"calibrated, it would be off by {fitted:.2f}."
    )
    if calibration.kind == "fit":
        return f"{compared} To use the fitted weights, set EMQ_WEIGHTS."
    return f"{compared} From {LEAST_FOR_A_FIT} scores on, weights for EMQ_WEIGHTS are offered here."
