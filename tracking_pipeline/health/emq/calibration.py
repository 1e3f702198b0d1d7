"""Weights of the saturating EMQ model from what Meta itself reports. Pure.

With x the coverage of each term and b = -ln(1 - weight), the model says
``-ln(1 - score / 10) = sum of b * x``: linear in the coverages. So weights can be fitted to pairs
of a coverage in our ledger and a score in Meta's Dataset Quality API.

    from 8 snapshots   all b, by ridge regression towards the default weights, none negative: what
                       the snapshots do not tell apart stays near its default
    from 2             one factor on the exponent for each event name: so few tell no keys apart
    else               nothing: the figure is uncalibrated, and is to be called so

How good it is: the mean absolute error, in points of the score, of predicting each snapshot from
all the others. Snapshots of one event name on following days resemble each other, so the error
flatters; it is a figure for choosing between the fit and the defaults, no promise.

Compare our coverages with those that Meta reports first: a gap there means lost or malformed keys,
which no weight mends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from math import exp, log
from typing import Literal

import numpy as np
import numpy.typing as npt

from tracking_pipeline.health.emq.score import HIGHEST_SCORE, keys_of_term

LEAST_FOR_A_FIT = 8
LEAST_FOR_A_FACTOR = 2
# The default weight of each term counts as much as one snapshot in which that term alone varies.
PRIOR_WEIGHT = 1.0
# The exponent of a score of 10 is infinite.
_HIGHEST_FITTED = 9.95
_LEAST_EXPONENT = 1e-6
_MOST_SWEEPS = 2_000
_CONVERGED = 1e-10

CalibrationKind = Literal["none", "factor", "fit"]
_Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ReportedScoreDay:
    """One score that Meta reported, 0 to 10, and the coverage by match key, in percent, that our
    ledger had for the same event name and time."""

    taken_on: date
    event_name: str
    reported_score: float
    coverage_percent: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Calibration:
    """``weights`` of all terms: the fitted ones, or the defaults. ``factor_by_event`` multiplies
    the exponent of an event name's score. The errors are mean absolute errors in points of the
    score: of this calibration on snapshots it has not seen, and of the default weights."""

    kind: CalibrationKind
    weights: dict[str, float]
    factor_by_event: dict[str, float] = field(default_factory=dict)
    snapshots: int = 0
    mean_absolute_error: float | None = None
    uncalibrated_error: float | None = None

    @property
    def label(self) -> str:
        """What stands beside a score that was made with it."""
        if self.mean_absolute_error is None:
            return "uncalibrated"
        return f"calibrated on {self.snapshots} snapshots, off by {self.mean_absolute_error:.2f}"

    def as_setting(self) -> str:
        """The weights as the value of ``EMQ_WEIGHTS``."""
        return ",".join(f"{term}={weight:.3f}" for term, weight in self.weights.items())

    def estimate(self, event_name: str, coverage_percent: Mapping[str, float]) -> float:
        """The score, 0 to 10, that Meta would report for this coverage."""
        exponent = _exponents(self.weights) @ _coverage(coverage_percent, tuple(self.weights))
        return _score(self.factor_by_event.get(event_name, 1.0) * float(exponent))


def calibrate(snapshots: Sequence[ReportedScoreDay], weights: Mapping[str, float]) -> Calibration:
    """The calibration that so many snapshots allow. ``weights``: the default weights of all terms
    of the saturating model (``emq.weights_of``)."""
    terms = tuple(weights)
    defaults = Calibration("none", dict(weights), snapshots=len(snapshots))
    if len(snapshots) < LEAST_FOR_A_FACTOR:
        return defaults
    coverages = np.array([_coverage(each.coverage_percent, terms) for each in snapshots])
    scores = np.array([each.reported_score for each in snapshots])
    exponents = -np.log(1 - np.clip(scores, 0, _HIGHEST_FITTED) / HIGHEST_SCORE)
    prior = _exponents(weights)
    uncalibrated = _mean_absolute_error(coverages @ prior, scores)
    if len(snapshots) < LEAST_FOR_A_FIT:
        names = [each.event_name for each in snapshots]
        factors, predicted = _factors(names, coverages @ prior, exponents)
        if not factors:
            return defaults
        error = _mean_absolute_error(np.array(list(predicted.values())), scores[list(predicted)])
        return Calibration("factor", dict(weights), factors, len(snapshots), error, uncalibrated)
    fitted, predictions = _fit(coverages, exponents, prior)
    return Calibration(
        "fit",
        {term: 1 - exp(-float(b)) for term, b in zip(terms, fitted, strict=True)},
        snapshots=len(snapshots),
        mean_absolute_error=_mean_absolute_error(predictions, scores),
        uncalibrated_error=uncalibrated,
    )


def _factors(
    names: Sequence[str], expected: _Array, exponents: _Array
) -> tuple[dict[str, float], dict[int, float]]:
    """The factor of each event name with at least two snapshots, and for each of those snapshots
    the exponent predicted from the others of its name."""
    of_name: dict[str, list[int]] = defaultdict(list)
    for position, name in enumerate(names):
        # A multiple of nothing tells nothing.
        if expected[position] > _LEAST_EXPONENT:
            of_name[name].append(position)
    factors: dict[str, float] = {}
    predicted: dict[int, float] = {}
    for name, positions in of_name.items():
        if len(positions) < LEAST_FOR_A_FACTOR:
            continue
        factors[name] = _factor(expected[positions], exponents[positions])
        for position in positions:
            others = [other for other in positions if other != position]
            factor = _factor(expected[others], exponents[others])
            predicted[position] = factor * float(expected[position])
    return factors, predicted


def _factor(expected: _Array, exponents: _Array) -> float:
    return float(expected @ exponents / (expected @ expected))


def _fit(coverages: _Array, exponents: _Array, prior: _Array) -> tuple[_Array, _Array]:
    """The exponents of all terms, and for each snapshot the one predicted from all the others."""
    gram = coverages.T @ coverages + PRIOR_WEIGHT * np.eye(len(prior))
    target = coverages.T @ exponents + PRIOR_WEIGHT * prior
    fitted = _least_squares_without_negatives(gram, target, prior)
    predictions = np.empty(len(exponents))
    for left_out, (row, exponent) in enumerate(zip(coverages, exponents, strict=True)):
        others = _least_squares_without_negatives(
            gram - np.outer(row, row), target - row * exponent, fitted
        )
        predictions[left_out] = row @ others
    return fitted, predictions


def _least_squares_without_negatives(gram: _Array, target: _Array, start: _Array) -> _Array:
    """The b >= 0 that minimises b'Gb/2 - b't. The prior makes G positive definite, so there is one,
    and going from coordinate to coordinate finds it."""
    free = np.linalg.solve(gram, target)
    if free.min() >= 0:
        return np.asarray(free, np.float64)
    found: _Array = np.maximum(start, 0.0)
    for _ in range(_MOST_SWEEPS):
        largest_move = 0.0
        for place in range(len(found)):
            slope = target[place] - gram[place] @ found
            moved = max(found[place] + slope / gram[place, place], 0.0)
            largest_move = max(largest_move, abs(moved - found[place]))
            found[place] = moved
        if largest_move < _CONVERGED:
            break
    return found


def _exponents(weights: Mapping[str, float]) -> _Array:
    return np.array([-log(1 - weight) for weight in weights.values()])


def _coverage(coverage_percent: Mapping[str, float], terms: Sequence[str]) -> _Array:
    """The coverage of each term, 0 to 1. Of a term of two keys only theirs are known, so it is the
    smaller of the two."""
    return np.array(
        [min(coverage_percent.get(key, 0.0) for key in keys_of_term(term)) / 100 for term in terms]
    )


def _score(exponent: float) -> float:
    return HIGHEST_SCORE * (1 - exp(-exponent))


def _mean_absolute_error(exponents: _Array, scores: _Array) -> float:
    return float(np.mean(np.abs(HIGHEST_SCORE * (1 - np.exp(-exponents)) - scores)))
