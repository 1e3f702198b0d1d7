"""The match keys of one event for one platform.

How one payload serves two platforms. Meta and Google hash different text (Gmail dots and plus
tags, the `+` of a phone number, inner spaces of a name), so raw values are normalised for each.
Hashes are told apart by where they stand:

- `sha256_email_address`, `sha256_phone_number`, `sha256_first_name`, `sha256_last_name` (any
  name that begins with `sha256`) and everything under `userIdentifiers` are of Google's making;
- every other name (`em`, `ph`, `fn`, `ln`, `email`, `phone_sha256`, ...) holds Meta's.

Each platform takes raw values and its own hashes first. The other platform's hash serves when
there is nothing else: e-mail and names are the same text on both sides for most people, and a
hash that is not matches nobody. A phone hash of Meta's never serves Google, because the `+`
makes it wrong for everybody. Under `sha256_phone_number` senders put both kinds, so Meta takes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from tracking_pipeline.identity.field_names import Rank
from tracking_pipeline.identity.finder import Candidate, find_candidates
from tracking_pipeline.identity.hashing import SHORTEST_HASH, already_hashed, is_final_hash
from tracking_pipeline.identity.match_value import match_value, region_of
from tracking_pipeline.identity.platforms import ExternalIdMode, KeyRule, rules_of
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
    """Give the valid match keys of a payload, hashed where `platform` wants hashes.

    Keys have Meta's names for both platforms. Meta: `em ph fn ln ge db ct st zp country
    external_id` hashed, each a list when several distinct values were found (ten at most); `fbp fbc
    client_ip_address client_user_agent` as they are. Google: `em ph` (lists too), `fn ln` hashed
    its own way; `country` (upper-case) and `zp`, and `ct st` for Analytics, plain.

    `country` counts where the payload names none. `external_id` is `raw` where the site's pixel
    sends that key unhashed. Never raises on a payload, whatever its type; ValueError for a platform
    that is neither `meta` nor `google`.
    """
    return _read(payload, platform, country, external_id).keys


def read_match_keys(
    payload: object,
    platform: str = "meta",
    country: str = "US",
    *,
    external_id: ExternalIdMode = "hashed",
) -> MatchKeys:
    """Give the match keys of a payload and a count of what was dropped; see `match_keys`."""
    reading = _read(payload, platform, country, external_id)
    return MatchKeys(reading.keys, Counter(reading.dropped))


def hashed_user_data(payload: object, country: str = "US") -> dict[str, str | list[str]]:
    """Give the match keys of a payload for both platforms side by side, to be stored.

    Meta's keys under its names, Google's hashes under `sha256_email_address`,
    `sha256_phone_number`, `sha256_first_name` and `sha256_last_name`; `match_keys` reads either
    platform's back. No raw personal data, so Google's plain postal code is not among it.
    """
    return {**match_keys(payload, "meta", country), **google_hashes(payload, country)}


def google_hashes(payload: object, country: str = "US") -> dict[str, str | list[str]]:
    """Give Google's part of `hashed_user_data`: its hashes, under its names."""
    keys = match_keys(payload, "google", country)
    return {name: keys[key] for key, name in _GOOGLE_HASH_NAMES.items() if key in keys}


def _read(payload: object, platform: str, country: str, external_id: ExternalIdMode) -> _Reading:
    rules = rules_of(platform, external_id)
    candidates = find_candidates(payload)
    reading = _Reading(rules, platform, _country_of(candidates) or region_of(country))
    for candidate in candidates:
        reading.take(candidate)
    if reading.foreign:
        reading.fall_back()
    return reading


def _country_of(candidates: list[Candidate]) -> str:
    """Give the event's own country: the first valid one, the nearest to the person."""
    for candidate in candidates:
        if candidate.key == "country" and (code := region_of(candidate.value)):
            return code
    return ""


class _Reading:
    """What was taken and what was dropped so far; candidates come in the order of their rank.

    `foreign`: hashes of the other platform's making, which wait for the end.
    """

    __slots__ = ("_country", "_platform", "_ranks", "_rules", "dropped", "foreign", "keys")

    def __init__(self, rules: Mapping[str, KeyRule], platform: str, country: str) -> None:
        self.keys: dict[str, str | list[str]] = {}
        self.dropped: list[tuple[str, str]] = []
        self.foreign: list[tuple[Candidate, str]] = []
        self._rules = rules
        self._platform = platform
        self._country = country
        # All values of a key have one rank: the first, which is the nearest to the person.
        self._ranks: dict[str, Rank] = {}

    def take(self, candidate: Candidate) -> None:
        key, raw, rank, _, _ = candidate
        rule = self._rules.get(key)
        if rule is None:
            return
        if key in self.keys and (not rule.many or self._ranks[key] < rank):
            return
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
                digest = already_hashed(text, suffix=self._platform == "meta")
        if digest is None:
            self._settle(key, self._value_of(candidate, text, rule), rank)
        elif self._is_foreign(candidate):
            self.foreign.append((candidate, text))
        else:
            # What `match_value` gives for a hash where hashes are wanted.
            self._settle(key, digest, rank)

    def fall_back(self) -> None:
        """Use the other platform's hashes for the keys that have nothing else."""
        own = set(self.keys)
        for candidate, text in self.foreign:
            key = candidate.key
            if key in own:
                continue
            if self._platform == "google" and key == "ph":
                self.dropped.append((key, Refusal.FOREIGN_HASH.value))
            else:
                value = self._value_of(candidate, text, self._rules[key])
                self._settle(key, value, candidate.rank)

    def _value_of(self, candidate: Candidate, text: str, rule: KeyRule) -> str | Refusal:
        key, country = candidate.key, self._country
        if candidate.country is not None:
            country = region_of(candidate.country) or country
        if rule.shared:
            return _shared_value(key, text, self._platform, country)
        if rule.repeated:
            return _repeated_value(key, text, self._platform, country)
        return match_value(key, text, rule, self._platform, country)

    def _settle(self, key: str, value: str | Refusal, rank: Rank) -> None:
        if isinstance(value, Refusal):
            self.dropped.append((key, value.value))
            return
        known = self.keys.get(key)
        if known is None:
            self.keys[key] = value
            self._ranks[key] = rank
        elif not self._rules[key].many:
            return
        elif isinstance(known, str):
            if value != known:
                self.keys[key] = [known, value]
        elif value not in known and len(known) < _MAX_VALUES:
            known.append(value)

    def _is_foreign(self, candidate: Candidate) -> bool:
        """Tell a hash of the other platform's making, of a key that the two hash differently."""
        own = candidate.google_named == (self._platform == "google")
        return not own and candidate.key in _GOOGLE_HASH_NAMES


def _value(key: str, text: str, platform: str, country: str) -> str | Refusal:
    return match_value(key, text, rules_of(platform)[key], platform, country)


# Names and places, which many people share.
_shared_value = lru_cache(maxsize=16_384)(_value)
# What is one person's own comes again at once or not at all: from the row and the lead of the same
# event, for the next destination. So few are kept, and a busy process forgets them in seconds; it
# holds the same values in the events it works on.
_repeated_value = lru_cache(maxsize=2048)(_value)
