"""An estimate, 0 to 10, of Meta's Event Match Quality, from the match keys that events carry. Pure.

Meta's own score also depends on how many events it could match to an account, which nobody outside
sees (https://developers.facebook.com/docs/marketing-api/conversions-api/dataset-quality-api). So
every figure here is an estimate and is to be called one.

Two models:

``saturating``  10 * (1 - product of (1 - weight) over the terms that are present). Each further key
                adds less, and no event reaches 10. A key's weight is the share of the way to 10
                that it closes. IP address and user agent count as one term, ``network``, because
                neither identifies anybody alone. An event that Meta would refuse for too little
                customer information scores 0. The weights follow the priority of Meta's guides and
                two scores that Meta was seen to report: 6.1 with browser keys alone, 9.3 with all.
``weighted``    10 * the sum of the weights present / the sum of all weights: what the dashboards in
                front of these tables show.

The score of many events is the mean of theirs. No events: no score.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import fsum, inf
from typing import Literal

from tracking_pipeline.health.emq.keys import BIT_OF, KEYS, mask_of, without_keys_from_ip

EmqModel = Literal["saturating", "weighted"]
EmqState = Literal["ok", "no_data"]
# How many events of one name carry which keys: event name -> mask -> events.
KeyCounts = Mapping[str, Mapping[int, int]]

HIGHEST_SCORE = 10.0
NETWORK = "network"
# The keys that each term of a model needs, all of them; every other term is the key of its name.
_KEYS_OF_TERM: dict[str, tuple[str, ...]] = {NETWORK: ("client_ip_address", "client_user_agent")}

SATURATING_WEIGHTS: dict[str, float] = {
    "em": 0.45,
    "fb_login_id": 0.45,
    NETWORK: 0.38,
    "fbc": 0.35,
    "fbp": 0.32,
    "ph": 0.30,
    "external_id": 0.20,
    "db": 0.12,
    "zp": 0.05,
    "fn": 0.05,
    "ln": 0.05,
    "st": 0.04,
    "ct": 0.04,
    "country": 0.03,
    "ge": 0.03,
}
WEIGHTED_WEIGHTS: dict[str, float] = {
    "em": 3.0,
    "ph": 2.5,
    "fbp": 1.5,
    "fbc": 1.0,
    "fn": 0.5,
    "ln": 0.5,
}

_DEFAULT_WEIGHTS: dict[EmqModel, dict[str, float]] = {
    "saturating": SATURATING_WEIGHTS,
    "weighted": WEIGHTED_WEIGHTS,
}
_BITS_OF_TERM: dict[str, int] = {
    **BIT_OF,
    **{term: mask_of(keys) for term, keys in _KEYS_OF_TERM.items()},
}
_ALL_KEYS = mask_of(KEYS)

# Meta refuses an event whose customer information is one of these or a part of one
# (https://developers.facebook.com/docs/marketing-api/conversions-api/parameters).
_TOO_LITTLE = tuple(
    mask_of(keys)
    for keys in (
        ("ct", "country", "st", "zp", "ge", "client_user_agent"),
        ("db", "client_user_agent"),
        ("fn", "ge"),
        ("ln", "ge"),
    )
)
# Only sites with Facebook Login have it: advice to send it is of no use to the others.
_NOT_FOR_ALL = "fb_login_id"


@dataclass(frozen=True, slots=True)
class EventNameScore:
    """The score of the events of one name. ``coverage_percent`` by match key."""

    score: float
    events: int
    coverage_percent: dict[str, float]


@dataclass(frozen=True, slots=True)
class EmqScore:
    """The score of a window, 0 to 10; ``overall`` is None where ``state`` is ``no_data``.

    ``coverage_percent`` says for each match key how many of the ``events`` carry it.
    ``gain_by_key`` says what the score would gain if a term of the model (a match key, or
    ``network``) came with every event; ``next_best_key`` is the largest of them, None where there
    is nothing to gain. ``without_ip_address_keys`` is the score had no IP address been looked up.
    """

    state: EmqState
    overall: float | None = None
    events: int = 0
    by_event: dict[str, EventNameScore] = field(default_factory=dict)
    coverage_percent: dict[str, float] = field(default_factory=dict)
    gain_by_key: dict[str, float] = field(default_factory=dict)
    next_best_key: str | None = None
    next_best_gain: float = 0.0
    without_ip_address_keys: float | None = None


def weights_of(model: EmqModel, given: Mapping[str, float] | None = None) -> dict[str, float]:
    """The model's default weights by term, with those ``given`` in their place.

    ValueError, in one line that an operator can act on, for a term that no model has, for a weight
    out of range (``saturating``: 0 to below 1; ``weighted``: 0 or more), and where all are 0.
    """
    given = given or {}
    limit, bounds = (1.0, "from 0 to below 1") if model == "saturating" else (inf, "0 or more")
    for term, weight in given.items():
        if term not in _BITS_OF_TERM:
            raise ValueError(f"{term} is not one of {', '.join(_BITS_OF_TERM)}")
        if not 0 <= weight < limit:
            raise ValueError(f"the weight of {term} must be {bounds} in the model {model}")
    weights = {**_DEFAULT_WEIGHTS[model], **given}
    if not any(weights.values()):
        raise ValueError("at least one weight must be above 0")
    return weights


def keys_of_term(term: str) -> tuple[str, ...]:
    """The match keys that a term of a model needs: its own name, or both of ``network``."""
    return _KEYS_OF_TERM.get(term, (term,))


def score_event(mask: int, model: EmqModel, weights: Mapping[str, float]) -> float:
    """The score, 0 to 10, of one event with the keys of ``mask``; ``weights`` of all terms."""
    present = [weight for term, weight in weights.items() if _BITS_OF_TERM[term] & ~mask == 0]
    if model == "weighted":
        return HIGHEST_SCORE * fsum(present) / fsum(weights.values())
    if is_refused(mask):
        return 0.0
    missed = 1.0
    for weight in present:
        missed *= 1.0 - weight
    return HIGHEST_SCORE * (1.0 - missed)


def is_refused(mask: int) -> bool:
    """Whether Meta would refuse an event with these keys for too little customer information."""
    keys = mask & _ALL_KEYS
    return any(keys & ~combination == 0 for combination in _TOO_LITTLE)


def score(
    counts: KeyCounts, model: EmqModel, weights: Mapping[str, float] | None = None
) -> EmqScore:
    """The score of a window's events. ``weights``: of all terms (:func:`weights_of`), or None for
    the model's own. No events: no score, state ``no_data``, never 10 and never 0."""
    weights = weights_of(model) if weights is None else weights
    total: dict[int, int] = defaultdict(int)
    for of_name in counts.values():
        for mask, events in of_name.items():
            total[mask] += events
    events = sum(total.values())
    if events <= 0:
        return EmqScore("no_data")
    overall = _mean(total, model, weights)
    coverage = _coverage_percent(total)
    gains = {
        term: _mean(_completed(total, term), model, weights) - overall
        for term in weights
        if term != _NOT_FOR_ALL or coverage[term] > 0
    }
    best = max(gains, key=gains.__getitem__)
    return EmqScore(
        state="ok",
        overall=overall,
        events=events,
        by_event={
            name: EventNameScore(
                _mean(of_name, model, weights), sum(of_name.values()), _coverage_percent(of_name)
            )
            for name, of_name in sorted(counts.items())
            if sum(of_name.values()) > 0
        },
        coverage_percent=coverage,
        gain_by_key=gains,
        next_best_key=best if gains[best] > 0 else None,
        next_best_gain=max(gains[best], 0.0),
        without_ip_address_keys=_mean(_without_ip(total), model, weights),
    )


def _mean(counts: Mapping[int, int], model: EmqModel, weights: Mapping[str, float]) -> float:
    scored = fsum(score_event(mask, model, weights) * events for mask, events in counts.items())
    return scored / sum(counts.values())


def _coverage_percent(counts: Mapping[int, int]) -> dict[str, float]:
    events = sum(counts.values())
    return {
        key: 100.0 * sum(n for mask, n in counts.items() if mask & BIT_OF[key]) / events
        for key in KEYS
    }


def _completed(counts: Mapping[int, int], term: str) -> dict[int, int]:
    """The counts had every event the term."""
    return _mapped(counts, {mask: mask | _BITS_OF_TERM[term] for mask in counts})


def _without_ip(counts: Mapping[int, int]) -> dict[int, int]:
    return _mapped(counts, {mask: without_keys_from_ip(mask) for mask in counts})


def _mapped(counts: Mapping[int, int], become: Mapping[int, int]) -> dict[int, int]:
    mapped: dict[int, int] = defaultdict(int)
    for mask, events in counts.items():
        mapped[become[mask]] += events
    return mapped
