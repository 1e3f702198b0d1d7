"""What the stand-in for Meta says about the quality of the events that it accepted: the answer of
`GET /{version}/dataset_quality`.

https://developers.facebook.com/docs/marketing-api/conversions-api/dataset-quality-api

The real score also rests on how many events Meta could match to an account. The stand-in has
weights of its own that are not those of our estimate, so that a calibration has something to find.
Pure.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

# Meta's names of the match keys, as far as it documents them; the rest under their own names.
IDENTIFIERS = {
    "em": "email",
    "ph": "phone",
    "client_ip_address": "ip_address",
    "client_user_agent": "user_agent",
}
_WEIGHTS = {
    "em": 0.35,
    "ph": 0.30,
    "fbc": 0.40,
    "fbp": 0.30,
    "external_id": 0.25,
    "client_ip_address": 0.15,
    "client_user_agent": 0.15,
    "zp": 0.05,
    "ct": 0.05,
    "st": 0.05,
    "country": 0.02,
    "fn": 0.05,
    "ln": 0.05,
    "ge": 0.02,
    "db": 0.10,
}

# Fields by field, as deep as the stand-in knows them; {} is a value.
_Fields = dict[str, Any]
KNOWN: _Fields = {
    "web": {
        "event_name": {},
        "event_match_quality": {
            "composite_score": {},
            "match_key_feedback": {"identifier": {}, "coverage": {"percentage": {}}},
        },
    }
}
_TOKEN = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*|[{},])")


class UnknownFieldError(ValueError):
    """A field that there is not, or a text that is no list of fields. The message is Meta's."""


def quality(events: Sequence[object], fields: str) -> dict[str, Any]:
    """The answer about these events, with the ``fields`` that were asked for and nothing else.

    ``fields`` is written as the Graph API has it: ``web{event_name,...{...}}``. Only events of a
    website count. Raises :class:`UnknownFieldError`.
    """
    wanted = parse_fields(fields)
    of_name: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for event in events:
        if isinstance(event, dict) and event.get("action_source") == "website":
            user_data = event.get("user_data")
            of_name[str(event.get("event_name"))].append(
                user_data if isinstance(user_data, dict) else {}
            )
    everything = {"web": [_of_name(name, people) for name, people in sorted(of_name.items())]}
    chosen: dict[str, Any] = _chosen(everything, wanted)
    return chosen


def parse_fields(text: str) -> _Fields:
    """The fields that a text asks for. Raises :class:`UnknownFieldError`."""
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != "".join(text.split()):
        raise UnknownFieldError("Syntax error in the field list.")
    wanted, rest = _parse(tokens, KNOWN)
    if rest:
        raise UnknownFieldError("Syntax error in the field list.")
    return wanted


def _parse(tokens: list[str], known: _Fields) -> tuple[_Fields, list[str]]:
    wanted: _Fields = {}
    while tokens and tokens[0] != "}":
        name, *tokens = tokens
        if name not in known:
            raise UnknownFieldError(f"Tried accessing nonexisting field ({name})")
        # A field without a list of its own is answered with all that it has.
        wanted[name] = known[name]
        if tokens and tokens[0] == "{":
            wanted[name], tokens = _parse(tokens[1:], known[name])
            if tokens[:1] != ["}"]:
                raise UnknownFieldError("Syntax error in the field list.")
            tokens = tokens[1:]
        if tokens and tokens[0] == ",":
            tokens = tokens[1:]
    return wanted, tokens


def _of_name(name: str, people: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    shares = {
        key: 100.0 * sum(bool(person.get(key)) for person in people) / len(people)
        for key in _WEIGHTS
    }
    scores = [
        10 * (1 - prod(1 - weight for key, weight in _WEIGHTS.items() if person.get(key)))
        for person in people
    ]
    return {
        "event_name": name,
        "event_match_quality": {
            "composite_score": round(sum(scores) / len(scores), 1),
            "match_key_feedback": [
                {
                    "identifier": IDENTIFIERS.get(key, key),
                    "coverage": {"percentage": round(share, 1)},
                }
                for key, share in shares.items()
                if share
            ],
        },
    }


def _chosen(value: Any, wanted: _Fields) -> Any:
    if not wanted:
        return value
    if isinstance(value, list):
        return [_chosen(each, wanted) for each in value]
    return {name: _chosen(value[name], below) for name, below in wanted.items()}
