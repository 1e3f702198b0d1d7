"""The match keys of one event for one platform.

How one payload serves all platforms. Meta and Google hash different text (Gmail dots and plus
tags, the `+` of a phone number, inner spaces of a name), so raw values are normalised for each.
Hashes are told apart by where they stand:

- `sha256_email_address`, `sha256_phone_number`, `sha256_first_name`, `sha256_last_name` (any
  name that begins with `sha256`) and everything under `userIdentifiers` are of Google's making;
- every other name (`em`, `ph`, `fn`, `ln`, `email`, `phone_sha256`, ...) holds Meta's.

Each platform takes raw values and its own hashes first; the others have each key as one of the two
has it (`KeyRule.hashes_of`). The other maker's hash serves when there is nothing else: e-mail and
names are the same text on both sides for most people, and a hash that is not matches nobody. A
phone hash of Meta's never serves who hashes the `+`, which makes it wrong for everybody. Under
`sha256_phone_number` senders put both kinds, so that Meta takes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from tracking_pipeline.identity.hashing import SHORTEST_HASH, already_hashed, is_final_hash
from tracking_pipeline.identity.match_value import match_value, region_of
from tracking_pipeline.identity.platforms import ExternalIdMode, KeyRule, rules_of
from tracking_pipeline.identity.quick import Quick, Shared
from tracking_pipeline.identity.refusal import Refusal
from tracking_pipeline.identity.text import text_of

# The keys whose hashes Google names, and its names (gtag's user-provided data).
_GOOGLE_HASH_NAMES = {
    "em": "sha256_email_address",
    "ph": "sha256_phone_number",
    "fn": "sha256_first_name",
    "ln": "sha256_last_name",
}
# Google takes ten identifiers of an event; no person has more addresses that are worth matching.
_MAX_VALUES = 10


RANKS_OF_A_SOURCE = 6
"""How many ranks one source of values has: the payload, then the row's column, then the lead."""


Candidate: TypeAlias = tuple[str, object, int, object, bool]
"""A raw value that may become a match key: (key, value, rank, country, Google-named).

Rank: the lower, the nearer to the person; the payload's ranks begin at 0, those of each further
source `RANKS_OF_A_SOURCE` later. Country: the raw country of the mapping it stood in, or of one
around it; None if none. Google-named: a hash here is of Google's making, because its name or its
place is Google's. A plain tuple, since an event makes ten of them.
"""


@dataclass(frozen=True)
class MatchKeys:
    """What an event can be matched on, and what had to be left out.

    `keys`: match key to value, or to a list where several distinct valid values were found and
    the platform takes lists. `dropped`: how many values of which match key were left out, and
    why, as `{("ph", "invalid phone"): 1}`; absent and empty values are not counted.
    """

    keys: dict[str, str | list[str]]
    dropped: Counter[tuple[str, str]]


def match_keys(
    payload: object,
    platform: str = "meta",
    country: str = "US",
    *,
    external_id: ExternalIdMode = "hashed",
) -> dict[str, str | list[str]]:
    """Gives the valid match keys of a payload, hashed where `platform` wants hashes.

    Keys have Meta's names for both platforms. Meta: `em ph fn ln ge db ct st zp country
    external_id` hashed, each a list when several distinct values were found (ten at most); `fbp fbc
    client_ip_address client_user_agent` as they are. Google: `em ph` (lists too), `fn ln` hashed
    its own way; `country` (upper-case) and `zp`, and `ct st` for Analytics, plain. The other
    platforms' tables: `identity/platforms.py`, or docs/identity-differences.md.

    `country` counts where the payload names none. `external_id` is `raw` where the site's pixel
    sends that key unhashed. Never raises on a payload, whatever its type; ValueError for a platform
    that is not known.
    """
    return resolve_candidates(_candidates_of(payload), platform, country, external_id).keys


def _candidates_of(payload: object) -> list[Candidate]:
    # Not above: the reader of payloads is made of this package's normalisers.
    from tracking_pipeline.events.person import candidates_of  # noqa: PLC0415

    return candidates_of(payload)


def read_match_keys(
    payload: object,
    platform: str = "meta",
    country: str = "US",
    *,
    external_id: ExternalIdMode = "hashed",
) -> MatchKeys:
    """Gives the match keys of a payload and a count of what was dropped; see `match_keys`."""
    found = resolve_candidates(_candidates_of(payload), platform, country, external_id)
    return MatchKeys(found.keys, Counter(found.dropped))


def hashed_user_data(payload: object, country: str = "US") -> dict[str, str | list[str]]:
    """Gives the match keys of a payload for both platforms side by side, to be stored.

    Meta's keys under its names, Google's hashes under `sha256_email_address`,
    `sha256_phone_number`, `sha256_first_name` and `sha256_last_name`; `match_keys` reads either
    platform's back. No raw personal data, so Google's plain postal code is not among it.
    """
    return {**match_keys(payload, "meta", country), **google_hashes(payload, country)}


def google_hashes(payload: object, country: str = "US") -> dict[str, str | list[str]]:
    """Gives Google's part of `hashed_user_data`: its hashes, under its names."""
    return named_as_google(match_keys(payload, "google", country))


def named_as_google(keys: Mapping[str, str | list[str]]) -> dict[str, str | list[str]]:
    """Gives Google's hashes among its match keys under its own names."""
    return {name: keys[key] for key, name in _GOOGLE_HASH_NAMES.items() if key in keys}


class Resolved(NamedTuple):
    """`keys` as in `MatchKeys`; `dropped` has (key, reason) of each value that was left out."""

    keys: dict[str, str | list[str]]
    dropped: list[tuple[str, str]]


def resolve_candidates(
    candidates: Sequence[Candidate],
    platform: str,
    country: str,
    external_id: ExternalIdMode = "hashed",
) -> Resolved:
    """Gives the match keys that the candidates make, which come in the order of their rank."""
    home = _country_of(candidates) or region_of(country)
    resolving = Resolving(rules_of(platform, external_id), home)
    for candidate in candidates:
        resolving.take(candidate)
    return resolving.finish()


def _country_of(candidates: Sequence[Candidate]) -> str:
    """Gives the event's own country: the first valid one, the nearest to the person."""
    for candidate in candidates:
        if candidate[0] == "country" and (code := region_of(candidate[1])):
            return code
    return ""


class WantedPart(NamedTuple):
    """What a platform takes of payloads that are built alike: in which mapping it stands, under
    which name, which match key it is, how near to the person, and the key's rule. ``foreign``: a
    hash there is the other maker's, of a key that the two hash differently."""

    at: int
    name: str
    key: str
    rank: int
    google_named: bool
    rule: KeyRule
    hashed: bool
    quick: Quick | None
    foreign: bool


def wanted_by(
    parts: Iterable[tuple[int, str, str, int, bool]], rules: Mapping[str, KeyRule]
) -> tuple[WantedPart, ...]:
    """What a platform takes of a person's parts, (mapping, name, match key, rank, Google-named), in
    their order."""
    wanted = []
    for at, name, key, rank, named in parts:
        rule = rules.get(key)
        if rule is not None:
            foreign = _is_foreign((key, None, rank, None, named), rule)
            wanted.append(
                WantedPart(at, name, key, rank, named, rule, rule.hashed, rule.quick, foreign)
            )
    return tuple(wanted)


class Resolving:
    """What was taken and what was dropped so far; what is taken comes in the order of its rank.

    `home`: the code of the event's own country. `foreign`: hashes of the other maker's, which wait
    for the end.
    """

    __slots__ = ("_rules", "dropped", "foreign", "home", "keys", "ranks")

    def __init__(self, rules: Mapping[str, KeyRule], home: str) -> None:
        self.keys: dict[str, str | list[str]] = {}
        # All values of a key have one rank: the first, which is the nearest to the person.
        self.ranks: dict[str, int] = {}
        self.dropped: list[tuple[str, str]] = []
        self.foreign: list[tuple[Candidate, str]] = []
        self.home = home
        self._rules = rules

    def take(self, candidate: Candidate) -> None:
        """Takes a value."""
        key, raw, rank, where, _ = candidate
        rule = self._rules.get(key)
        if rule is None:
            return
        if key in self.keys:
            if not rule.many or self.ranks[key] < rank:
                return
        elif rule.quick is not None and type(raw) is str and len(raw) != SHORTEST_HASH:
            home = self.home
            value = rule.quick(raw, home if where is None else region_of(where) or home)
            if value is not None:
                self._settle(key, value, rank)
                return
        self._take_slowly(candidate, rule)

    def take_wanted(  # noqa: PLR0912  each value of each event comes through this one loop
        self,
        wanted: Sequence[WantedPart],
        mappings: Sequence[Mapping[str, object]],
        countries: Sequence[object],
        values_in: Callable[[object], Iterable[object]],
    ) -> bool:
        """Takes what stands in the mappings, as :meth:`take` does of each value. ``countries`` has
        the raw country of each mapping; ``values_in`` gives the values of what is no text. Returns
        whether there was nothing but texts."""
        keys, ranks, home = self.keys, self.ranks, self.home
        only_texts = True
        # What nearly all values are, in this loop and not in a call each.
        for at, name, key, rank, google_named, rule, hashed, quick, foreign in wanted:
            raw = mappings[at][name]
            where = countries[at]
            if type(raw) is not str:
                if raw is not None:
                    only_texts = False
                    for each in values_in(raw):
                        self.take((key, each, rank, where, google_named))
                continue
            value: str | Refusal | None = None
            if key in keys:
                if not rule.many or ranks[key] < rank:
                    continue
            elif len(raw) == SHORTEST_HASH and hashed:
                if is_final_hash(raw):
                    if foreign:
                        self.foreign.append(((key, raw, rank, where, google_named), raw))
                        continue
                    value = raw
            elif quick is not None:
                value = quick(raw, home if where is None else region_of(where) or home)
            if isinstance(value, str):
                keys[key] = value
                ranks[key] = rank
            elif value is not None:
                self.dropped.append((key, value.value))
            else:
                self._take_slowly((key, raw, rank, where, google_named), rule)
        return only_texts

    def take_copy(self, dropped: Sequence[tuple[str, str]]) -> None:
        """Takes a copy, in a later source, of what was taken before: it adds nothing, and what was
        ``dropped`` of it is dropped again where the key has no value yet."""
        self.dropped += [each for each in dropped if each[0] not in self.keys]
        self.foreign *= 2

    def _take_slowly(self, candidate: Candidate, rule: KeyRule) -> None:
        """Takes whatever it may be, a hash of either platform's too."""
        key, raw, rank, _, _ = candidate
        if rule.hashed and is_final_hash(raw):
            text: str = raw
            digest: str | Refusal | None = raw
        else:
            read = text_of(raw)
            if isinstance(read, Refusal):
                if read is not Refusal.EMPTY:
                    self.dropped.append((key, read.value))
                return
            text, digest = read, None
            if rule.hashed and len(text) >= SHORTEST_HASH:
                digest = already_hashed(text, suffix=rule.suffix)
        if digest is None:
            self._settle(key, self._value_of(candidate, text, rule), rank)
        elif _is_foreign(candidate, rule):
            self.foreign.append((candidate, text))
        else:
            # What `match_value` gives for a hash where hashes are wanted.
            self._settle(key, digest, rank)

    def finish(self) -> Resolved:
        """Uses the other maker's hashes for the keys that have nothing else."""
        own = set(self.keys) if self.foreign else ()
        for candidate, text in self.foreign:
            key, rank = candidate[0], candidate[2]
            if key in own and not self._is_of_later_source(candidate):
                continue
            if key == "ph" and self._rules[key].hashes_of == "google":
                self.dropped.append((key, Refusal.FOREIGN_HASH.value))
            elif is_final_hash(text):
                self._settle(key, text, rank)
            else:
                value = self._value_of(candidate, text, self._rules[key])
                self._settle(key, value, rank)
        return Resolved(self.keys, self.dropped)

    def _is_of_later_source(self, candidate: Candidate) -> bool:
        """Whether what serves for the key is the lead's: then the payload's own hash, which may be
        of another address of the same person, goes beside it."""
        key, rank = candidate[0], candidate[2]
        known = self.ranks[key] // RANKS_OF_A_SOURCE
        return self._rules[key].many and known > rank // RANKS_OF_A_SOURCE

    def _value_of(self, candidate: Candidate, text: str, rule: KeyRule) -> str | Refusal:
        key, raw, _, where, _ = candidate
        country = self.home
        if where is not None:
            country = region_of(where) or country
        value = match_value(key, text, rule, country)
        if isinstance(rule.quick, Shared) and type(raw) is str and isinstance(value, str):
            rule.quick.remember(raw, country, value)
        return value

    def _settle(self, key: str, value: str | Refusal, rank: int) -> None:
        if isinstance(value, Refusal):
            self.dropped.append((key, value.value))
            return
        known = self.keys.get(key)
        if known is None:
            self.keys[key] = value
            self.ranks[key] = rank
        elif not self._rules[key].many:
            return
        elif isinstance(known, str):
            if value != known:
                self.keys[key] = [known, value]
        elif value not in known and len(known) < _MAX_VALUES:
            known.append(value)


def _is_foreign(candidate: Candidate, rule: KeyRule) -> bool:
    """Tells a hash of the other maker's, of a key that the two hash differently."""
    own = candidate[4] == (rule.hashes_of == "google")
    return not own and candidate[0] in _GOOGLE_HASH_NAMES
