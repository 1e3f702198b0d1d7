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
from tracking_pipeline.identity.hashing import already_hashed, is_final_hash
from tracking_pipeline.identity.match_value import match_value, region_of
from tracking_pipeline.identity.platforms import KeyRule, rules_of
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
    payload: object, platform: str = "meta", country: str = "US"
) -> dict[str, str | list[str]]:
    """Give the valid match keys of a payload, hashed where `platform` wants hashes.

    Keys have Meta's names for both platforms. Meta: `em ph fn ln ge db ct st zp country
    external_id` hashed, each a list when several distinct values were found (ten at most); `fbp fbc
    client_ip_address client_user_agent` as they are. Google: `em ph` (lists too), `fn ln` hashed
    its own way; `country` (upper-case) and `zp`, and `ct st` for Analytics, plain.

    `country` counts where the payload names none. Never raises on a payload, whatever its type;
    ValueError for a platform that is neither `meta` nor `google`.
    """
    return read_match_keys(payload, platform, country).keys


def read_match_keys(payload: object, platform: str = "meta", country: str = "US") -> MatchKeys:
    """Give the match keys of a payload and a count of what was dropped; see `match_keys`."""
    rules = rules_of(platform)
    candidates = find_candidates(payload)
    reading = _Reading(rules, platform, _country_of(candidates) or region_of(country))
    for candidate in candidates:
        reading.take(candidate)
    reading.fall_back()
    return MatchKeys(reading.keys(), reading.dropped)


def hashed_user_data(payload: object, country: str = "US") -> dict[str, str | list[str]]:
    """Give the match keys of a payload for both platforms side by side, to be stored.

    Meta's keys under its names, Google's hashes under `sha256_email_address`,
    `sha256_phone_number`, `sha256_first_name` and `sha256_last_name`; `match_keys` reads either
    platform's back. No raw personal data, so Google's plain postal code is not among it.
    """
    stored = match_keys(payload, "meta", country)
    for key, value in match_keys(payload, "google", country).items():
        if key in _GOOGLE_HASH_NAMES:
            stored[_GOOGLE_HASH_NAMES[key]] = value
    return stored


def _country_of(candidates: list[Candidate]) -> str:
    """Give the event's own country: the first valid one, the nearest to the person."""
    for candidate in candidates:
        if candidate.key == "country" and (code := region_of(candidate.value)):
            return code
    return ""


class _Reading:
    """What was taken and what was dropped so far; candidates come in the order of their rank."""

    def __init__(self, rules: Mapping[str, KeyRule], platform: str, country: str) -> None:
        self.dropped: Counter[tuple[str, str]] = Counter()
        self._rules = rules
        self._platform = platform
        self._country = country
        self._values: dict[str, list[str]] = {}
        # All values of a key have one rank: the first, which is the nearest to the person.
        self._ranks: dict[str, Rank] = {}
        self._foreign: list[tuple[Candidate, str]] = []

    def take(self, candidate: Candidate) -> None:
        key = candidate.key
        rule = self._rules.get(key)
        if rule is None:
            return
        taken_rank = self._ranks.get(key)
        if taken_rank is not None and (not rule.many or taken_rank < candidate.rank):
            return
        value = candidate.value
        if rule.hashed and is_final_hash(value) and not self._is_foreign(candidate):
            self._settle(candidate, value, rule)
            return
        text = text_of(value)
        if not isinstance(text, str):
            if text is not Refusal.EMPTY:
                self.dropped[key, text.value] += 1
            return
        digest = already_hashed(text, suffix=self._platform == "meta") if rule.hashed else None
        if digest is None:
            self._keep(candidate, text, rule)
        elif self._is_foreign(candidate):
            self._foreign.append((candidate, text))
        else:
            # What `match_value` gives for a hash where hashes are wanted.
            self._settle(candidate, digest, rule)

    def fall_back(self) -> None:
        """Use the other platform's hashes for the keys that have nothing else."""
        own = set(self._values)
        for candidate, text in self._foreign:
            key = candidate.key
            if key in own:
                continue
            if self._platform == "google" and key == "ph":
                self.dropped[key, Refusal.FOREIGN_HASH.value] += 1
            else:
                self._keep(candidate, text, self._rules[key])

    def keys(self) -> dict[str, str | list[str]]:
        return {
            key: values[0] if len(values) == 1 else values for key, values in self._values.items()
        }

    def _keep(self, candidate: Candidate, text: str, rule: KeyRule) -> None:
        key, country = candidate.key, self._country
        if candidate.country is not None:
            country = region_of(candidate.country) or country
        if rule.shared:
            value = _shared_value(key, text, self._platform, country)
        else:
            value = match_value(key, text, rule, self._platform, country)
        self._settle(candidate, value, rule)

    def _settle(self, candidate: Candidate, value: str | Refusal, rule: KeyRule) -> None:
        key = candidate.key
        if not isinstance(value, str):
            self.dropped[key, value.value] += 1
            return
        values = self._values.get(key)
        if values is None:
            self._values[key] = [value]
            self._ranks[key] = candidate.rank
        elif rule.many and value not in values and len(values) < _MAX_VALUES:
            values.append(value)

    def _is_foreign(self, candidate: Candidate) -> bool:
        """Tell a hash of the other platform's making, of a key that the two hash differently."""
        own = candidate.google_named == (self._platform == "google")
        return not own and candidate.key in _GOOGLE_HASH_NAMES


@lru_cache(maxsize=16_384)
def _shared_value(key: str, text: str, platform: str, country: str) -> str | Refusal:
    """Remember names and places, which many people share; never what is one person's own."""
    return match_value(key, text, rules_of(platform)[key], platform, country)
