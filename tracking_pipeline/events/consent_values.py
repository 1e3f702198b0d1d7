"""What a statement of consent says: for each purpose granted, denied, or nothing.

A statement may be a boolean, 0 or 1, a word, an object by purpose, a list of what was agreed to, an
encoded string, or the text of any of these. What is there and cannot be understood is *unclear*: an
event is never sent on a guess. Silence is no statement: null, empty text, an empty object, and
Google's ``CONSENT_STATUS_UNSPECIFIED``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias
from unicodedata import combining, normalize
from urllib.parse import parse_qsl, unquote

from tracking_pipeline.events.consent import ADVERTISING, EVERYTHING, Purpose, Said, stricter
from tracking_pipeline.events.consent_names import (
    CHANNELS,
    ENCODED,
    PART,
    PURPOSE_OF,
    WITHDRAWN_AT,
    StatementName,
    Way,
    purpose_called,
    statement_named,
)
from tracking_pipeline.events.consent_strings import (
    of_tc_purposes,
    read_gcd,
    read_gcs,
    read_gpp,
    read_tc_bits,
    read_tc_string,
    read_us_privacy,
)
from tracking_pipeline.events.encodings import decoded_base64

_GRANTED = frozenset(
    "granted grant grantedall given give accepted accept acceptall acceptedall "
    "allowed allow allowall allowedall optedin optin optinall yes y true t on 1 "
    "agreed agree consented consent approved approve enabled enable permitted permit "
    "confirmed full all everything opted active ja oui si sim tak evet igen はい да akzeptiert "
    "iagree yesiagree checked subscribed ok okay doubleoptin allaccepted "
    "zugestimmt erteilt accepte acceptee aceptado aceito accettato geaccepteerd "
    "consentgranted consentgiven explicitconsent implicitconsent explicit implied".split()
)
_DENIED = frozenset(
    "denied deny deniedall denyall declined decline rejected reject rejectall "
    "rejectedall refused refuse refuseall revoked revoke withdrawn withdraw withheld "
    "optedout optout optoutall disallowed disallow notallowed notgranted notgiven "
    "notconsented notaccepted no n false f off 0 none disagreed disagree blocked "
    "block disabled disable forbidden prohibited nothing necessaryonly essentialonly "
    "onlynecessary onlyessential strictlynecessaryonly dissent functionalonly "
    "nonconsent noconsent withoutconsent unconsented objected objection removed "
    "cancelled canceled nein non nao nie abgelehnt verweigert widerrufen refusee "
    "rechazado recusado rifiutato geweigerd dontallow donotallow nottracked inactive "
    "unsubscribed".split()
)
# Google Ads API, ConsentStatus: nothing was stated.
_SILENT = frozenset(
    "unspecified notspecified consentstatusunspecified na null undefined unset notset "
    "notapplicable notrequired".split()
)
# Under the name of a part of a statement ("consent_mode"), these say how it works, not what was
# decided.
_OF_A_WAY = frozenset(
    "none no n f false off 0 nothing optout optedout optoutall disabled disable inactive "
    "blocked block removed".split()
)
_ONLY_NECESSARY = frozenset("necessary essential strictlynecessary functional none".split())
_PREFIX = re.compile(r"^(?:consentstatus|consentstate|consent|status)(?=.)")

# The parts of a statement that say what was decided.
_STATUS_NAMES = frozenset(
    "status value state granted grant accepted accept given allowed allow choice "
    "decision consented consent consentgiven consentstatus consentstate agreed agree "
    "result optin optedin approved enabled isgranted isallowed hasconsent checked "
    "selected active answer update updated default analyticsallowed".split()
)
_REFUSING_NAMES = frozenset(
    "denied refused rejected declined withdrawn revoked optout optedout disallowed "
    "deniedconsents refusedpurposes rejectedpurposes deniedpurposes "
    "rejectedcategories deniedcategories blocked".split()
)
_GRANTING_LISTS = frozenset(
    "granted accepted allowed given consented approved enabled selected purposes "
    "categories groups scopes consents activegroups acceptedpurposes "
    "acceptedcategories allowedpurposes allowedcategories grantedpurposes "
    "grantedcategories consentedpurposes services checked types".split()
)
_NESTING_NAMES = frozenset(
    "categorypreferences categories purposes preferences consents groups choices "
    "consent settings consentstate consentmode data purpose google meta facebook "
    "default update options details detail values customerprivacy".split()
)
# One of the purposes has the name that others give to all that was chosen.
_CHOICES = ("preferences", "preference")
_MAX_DEPTH = 8
_LONGEST_TEXT = 20_000
_NO_LETTERS = re.compile(r"[\W_]+")
_PAIR = re.compile(r"[\"']?([\w .\-]{1,60}?)[\"']?\s*[:=]\s*[\"']?([\w\- ]{1,40}?)[\"']?")


Statements: TypeAlias = dict[Purpose, Said]


def read_statement(
    name: StatementName, value: Any, denied_ids: frozenset[str] = frozenset()
) -> Statements:
    """What ``value`` says under a field of this name, by purpose. Never raises.

    ``denied_ids``: which of a consent manager's own ids mean advertising, as the site says.
    """
    usual = _usual(value)
    if usual is None:
        return _read_statement(name, value, denied_ids)
    key = name.plain, usual, denied_ids
    known = _known_statements.get(key)
    if known is None:
        known = _read_statement(name, value, denied_ids)
        if len(_known_statements) >= _MOST_KNOWN:
            _known_statements.clear()
        _known_statements[key] = known
    return known


# People say few things of consent, in as many ways as there are sites; nobody changes an answer.
_known_statements: dict[tuple[str, object, frozenset[str]], Statements] = {}
_MOST_KNOWN = 4_096
_LONGEST_USUAL, _MOST_USUAL = 24, 12


def _usual(value: Any) -> object:
    """What a short statement is remembered by: a text or a boolean, or an object of such; None for
    any other, for a number is equal to a boolean and means something else."""
    if type(value) is str or type(value) is bool:
        return value if value is True or value is False or len(value) <= _LONGEST_USUAL else None
    if type(value) is not dict or len(value) > _MOST_USUAL:
        return None
    for name, each in value.items():
        if type(name) is not str or len(name) > _LONGEST_USUAL:
            return None
        if type(each) is not bool and (type(each) is not str or len(each) > _LONGEST_USUAL):
            return None
    return tuple(value.items())


def _read_statement(name: StatementName, value: Any, denied_ids: frozenset[str]) -> Statements:
    if name.plain == "hscookiecatpref" and isinstance(value, str):
        value = _of_hubspot(value)
    if name.plain in ("deniedconsentids", "allowedconsentids"):
        return _of_ids(name.plain, value, denied_ids)
    if name.way is Way.CONTAINER and isinstance(value, Mapping):
        # What is deeper in it is read where it stands.
        value = {
            key: each
            for key, each in value.items()
            if isinstance(key, str) and _speaks_in_a_container(_letters(key), each)
        }
    elif name.way not in (Way.STATEMENT, Way.PURPOSE):
        return _of_another_way(name, value)
    elif name.plain.endswith(_CHOICES) and isinstance(value, (bool, int)):
        return {}  # of the purpose of that name
    statements = _merged(_read(value, name.purposes, 0, denied_ids))
    if name.way is Way.STATEMENT:
        return statements
    return {purpose: said for purpose, said in statements.items() if said is not Said.UNCLEAR}


def _of_another_way(name: StatementName, value: Any) -> Statements:
    if name.way is Way.ENCODED:
        return _of_encoded(ENCODED[name.plain], value)
    if name.way is Way.REFUSAL:
        return _of_refusal(value, name.purposes)
    by_browser = name.way is Way.GPC
    refuses = _word(value) is Said.GRANTED if by_browser else _refuses(name.plain, value)
    return dict.fromkeys(name.purposes, Said.DENIED) if refuses else {}


def _refuses(plain: str, value: Any) -> bool:
    """Whether a part of a statement says no all the same, as ``"consent_action": "reject"``."""
    if isinstance(value, Mapping):
        return Said.DENIED in _merged(_read(value, ADVERTISING, 0, frozenset())).values()
    letters = _letters(value) if isinstance(value, str) else ""
    if plain.endswith(("level", "mode")) and letters in _ONLY_NECESSARY:
        return True
    return letters not in _OF_A_WAY and _word(value if letters else None) is Said.DENIED


def _speaks_in_a_container(name: str, value: Any) -> bool:
    if name in PURPOSE_OF or name in _STATUS_NAMES:
        return name in PURPOSE_OF or _refuses(name, value)
    named = statement_named(name)
    return named is not None and named.way is Way.REFUSAL


def _merged(statements: Iterator[tuple[Purpose, Said]]) -> Statements:
    merged: Statements = {}
    for purpose, said in statements:
        merged[purpose] = stricter(merged.get(purpose), said)
    return merged


def _all(purposes: Sequence[Purpose], said: Said) -> Iterator[tuple[Purpose, Said]]:
    if said is Said.GRANTED and len(purposes) > 1:
        said = Said.AGREED
    return ((purpose, said) for purpose in purposes)


def _read(
    value: Any, purposes: tuple[Purpose, ...], depth: int, denied_ids: frozenset[str]
) -> Iterator[tuple[Purpose, Said]]:
    if value is None or depth > _MAX_DEPTH:
        if depth > _MAX_DEPTH:
            yield from _all(purposes, Said.UNCLEAR)
        return
    if isinstance(value, Mapping):
        recorded = _of_framework(value)
        recorded = _of_didomi(value) if recorded is None else recorded
        if recorded is None:
            yield from _of_object(value, purposes, depth, denied_ids)
        else:
            yield from ((each, recorded[each]) for each in purposes if each in recorded)
    elif isinstance(value, (list, tuple)):
        yield from _of_list(value, purposes, depth, denied_ids)
    elif isinstance(value, str):
        yield from _of_text(value, purposes, depth, denied_ids)
    else:
        yield from _all(purposes, _word(value) or Said.UNCLEAR)


def _letters(text: str) -> str:
    """The letters and digits of a name or a word, in lower case and without accents."""
    if not text.isascii():
        text = "".join(each for each in normalize("NFKD", text) if not combining(each))
    return _NO_LETTERS.sub("", text).lower()


def _word(value: Any) -> Said | None:
    """What a single value says: a boolean, 0 or 1, or a word; None where it is none of them."""
    if isinstance(value, bool):
        return Said.GRANTED if value else Said.DENIED
    if isinstance(value, (int, float)):
        return {0.0: Said.DENIED, 1.0: Said.GRANTED}.get(float(value))
    if not isinstance(value, str):
        return None
    letters = _letters(value)
    for word in (letters, _PREFIX.sub("", letters)):
        if word in _GRANTED:
            return Said.GRANTED
        if word in _DENIED:
            return Said.DENIED
    return None


def _of_text(
    text: str, purposes: tuple[Purpose, ...], depth: int, denied_ids: frozenset[str]
) -> Iterator[tuple[Purpose, Said]]:
    letters = _letters(text)
    if not text.strip() or letters in _SILENT or _PREFIX.sub("", letters) in _SILENT:
        return
    said = _word(text)
    if said is not None:
        yield from _all(purposes, said)
        return
    if len(text) <= _LONGEST_TEXT:
        decoded = _decoded(text.strip())
        if decoded is not None:
            yield from _read(decoded, purposes, depth + 1, denied_ids)
            return
    yield from _all(purposes, Said.UNCLEAR)


def _decoded(text: str) -> Any:
    """The object or list that a text is another writing of; None where it is none."""
    if text[:1] in ("{", "[", '"'):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
    else:
        found = decoded_base64(text)  # the cookie of Didomi
    if isinstance(found, (dict, list)) or (isinstance(found, str) and found != text):
        return found
    for read in (read_tc_bits, read_gcs, read_gcd, read_us_privacy, read_tc_string, read_gpp):
        stated = read(text)
        if stated is not None:
            return {"consent": stated}
    if "%" in text:
        plain = unquote(text)
        if plain != text:
            return plain
    if "groups=" in text:  # the cookie of OneTrust
        groups = dict(parse_qsl(text.replace(";", "&"))).get("groups")
        if groups:
            return groups
    parts = [part.strip() for part in re.split(r"[,;&|\n]", text.strip("{}")) if part.strip()]
    pairs = {pair[1]: pair[2] for part in parts if (pair := _PAIR.fullmatch(part))}
    if pairs and len(pairs) * 2 >= len(parts):
        return pairs
    words = [word for word in re.split(r"[,;|\s]+", text) if word]
    known = [_letters(word) in PURPOSE_OF for word in words]
    # OneTrust's list may hold ids of the site's own beside the known ones.
    by_ids = any(re.fullmatch(r"c000\d", _letters(word)) for word in words)
    return words if words and (all(known) or by_ids) else None


def _of_object(
    value: Mapping[Any, Any],
    purposes: tuple[Purpose, ...],
    depth: int,
    denied_ids: frozenset[str],
) -> Iterator[tuple[Purpose, Said]]:
    inner = [
        (_letters(name), each)
        for name, each in value.items()
        if isinstance(name, str) and not _is_beside_the_choice(name, each)
    ]
    if not inner and any(value.values()):
        yield from _all(purposes, Said.UNCLEAR)
        return
    of_purpose = _purpose_of_entry(inner)
    if of_purpose is not None:
        purposes = of_purpose
        if not purposes:
            return
    inner = _updated(inner)
    is_understood = is_unknown = refuses_something = speaks_of_ads = False
    for name, each in inner:
        if each is None or each in ("", [], {}):
            # An empty list of what was accepted says that nothing was.
            if each == [] and name in _GRANTING_LISTS and name not in _NESTING_NAMES:
                is_understood = True
                yield from _all(purposes, Said.DENIED)
            continue
        stated = _of_entry(name, each, purposes, depth, denied_ids)
        if stated is not None:
            is_understood = True
            speaks_of_ads = speaks_of_ads or not stated.keys().isdisjoint(ADVERTISING)
            yield from stated.items()
        elif PART.fullmatch(name):
            if isinstance(each, str) and _refuses(name, each):
                is_understood = speaks_of_ads = True
                yield from _all(purposes, Said.DENIED)
        elif not CHANNELS.search(name):
            is_unknown = True
            refuses_something = refuses_something or _word(each) is Said.DENIED
    if is_unknown and not is_understood:
        yield from _all(purposes, Said.UNCLEAR)
    elif refuses_something and not speaks_of_ads:
        # Something was refused, and advertising is not among what is known by name.
        yield from _all([each for each in purposes if each in ADVERTISING], Said.UNCLEAR)


# The purposes of IAB Europe's Framework as Didomi calls them:
# https://developers.didomi.io/cmp/introduction/iab-and-standards/iab-tcf-v2
_DIDOMI_PURPOSES = {
    name: number
    for number, name in enumerate(
        "cookies select_basic_ads create_ads_profile select_personalized_ads "
        "create_content_profile select_personalized_content measure_ad_performance "
        "measure_content_performance market_research improve_products "
        "use_limited_data_to_select_content".split(),
        1,
    )
}
_NUMBERS = frozenset(map(str, range(1, 25)))
# Fewer than that may be categories of the site's own.
_FEWEST_PURPOSES = 7
_DATED = re.compile(r"\d{4}-\d\d-\d\dT")
_OF_VENDORS = frozenset(("vendor", "vendors", "vendorsli", "publisher", "legitimateinterest"))


def is_of_vendors(name: str) -> bool:
    """Whether a part of a consent manager's record is about vendors, the publisher's own purposes
    or legitimate interest, and not about what was consented to."""
    return _letters(name) in _OF_VENDORS


def is_choice_by_number(value: Any) -> bool:
    """Whether these are choices under ids of the Framework or of Didomi, of which only the place
    says whether they are purposes or vendors."""
    return isinstance(value, Mapping) and (
        _is_choice_by_ids(value) or all(str(name).isdecimal() for name in value)
    )


def _is_beside_the_choice(name: str, value: Any) -> bool:
    """Whether an entry of a record is about vendors, or when it was updated."""
    if isinstance(value, str):
        return name == "updated" and _DATED.match(value) is not None
    return is_of_vendors(name) and (
        is_choice_by_number(value)
        or (isinstance(value, Mapping) and all(map(is_choice_by_number, value.values())))
    )


def _is_choice_by_ids(value: Mapping[Any, Any]) -> bool:
    return (
        bool(value)
        and value.keys() <= {"enabled", "disabled"}
        and all(
            isinstance(each, list) and all(isinstance(name, str) for name in each)
            for each in value.values()
        )
    )


def _of_framework(value: Mapping[Any, Any]) -> Statements | None:
    """What the Framework's numbered purposes say, as its API has them (``purpose.consents``); None
    for another object."""
    numbers = {str(name) for name in value}
    if not numbers <= _NUMBERS or "1" not in numbers or max(map(int, numbers)) < _FEWEST_PURPOSES:
        return None
    said = {int(name): _word(each) for name, each in value.items()}
    if None in said.values():
        return None
    return _of_purposes({number for number, each in said.items() if each is Said.GRANTED})


def _of_purposes(consented: set[int]) -> Statements:
    return {
        Purpose(name): Said.GRANTED if granted else Said.DENIED
        for name, granted in of_tc_purposes(consented).items()
    }


def _of_didomi(value: Mapping[Any, Any]) -> Statements | None:
    """What ``{"enabled": [..], "disabled": [..]}`` says in the Framework's purposes; None for
    another object, or where the ids are the site's own. Nobody was asked where both are empty."""
    if not _is_choice_by_ids(value):
        return None
    enabled, disabled = set(value.get("enabled", ())), set(value.get("disabled", ()))
    if not enabled and not disabled and len(value) > 1:
        return {}
    known = (enabled | disabled) & _DIDOMI_PURPOSES.keys()
    if "cookies" not in known or len(known) == 1:
        return None
    return _of_purposes({_DIDOMI_PURPOSES[name] for name in enabled & known})


def _of_hubspot(cookie: str) -> dict[str, str] | str:
    """HubSpot's categories by name: ``1:true,2:false,3:true``, also with ``_`` between them."""
    pairs = dict(re.findall(r"([123]):(true|false)", unquote(cookie)))
    names = {"1": "analytics", "2": "advertisement", "3": "functionality"}
    return {name: pairs[number] for number, name in names.items()} if len(pairs) == 3 else cookie


def _updated(inner: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Of Google's ``default`` and ``update``, what was decided later, for each purpose
    that the update speaks of."""
    parts = dict(inner)
    default, update = parts.get("default"), parts.get("update")
    if update is None or update in ("", [], {}):
        return inner
    left = None
    if isinstance(default, Mapping) and isinstance(update, Mapping):
        said = {_letters(name) for name in update if isinstance(name, str)}
        left = {
            name: each
            for name, each in default.items()
            if isinstance(name, str) and _letters(name) not in said
        }
    return [(name, left if name == "default" else each) for name, each in inner]


def _of_entry(
    name: str, value: Any, purposes: tuple[Purpose, ...], depth: int, denied_ids: frozenset[str]
) -> Statements | None:
    """What one entry of an object says; None for one that nobody here understands."""
    if name in ENCODED:
        return _of_encoded(ENCODED[name], value)
    if name in _REFUSING_NAMES or WITHDRAWN_AT.fullmatch(name):
        return _of_refusal(value, purposes)
    called = purpose_called(name)
    if called is not None and not (name in _CHOICES and _is_choice_of_purposes(value)):
        return _merged(_read(value, called, depth + 1, denied_ids))
    if name in _STATUS_NAMES or name in _GRANTING_LISTS or name in _NESTING_NAMES:
        return _merged(_read(value, purposes, depth + 1, denied_ids))
    return _of_unknown_entry(name, value, purposes, depth, denied_ids)


def _of_unknown_entry(
    name: str, value: Any, purposes: tuple[Purpose, ...], depth: int, denied_ids: frozenset[str]
) -> Statements | None:
    named = statement_named(name)
    if named is not None and named.way not in (Way.GPC, Way.PART):
        return read_statement(named, value, denied_ids)
    if isinstance(value, Mapping) or (
        isinstance(value, list) and not PART.fullmatch(name) and _holds_words(value)
    ):
        return _merged(_read(value, purposes, depth + 1, denied_ids)) or None
    return None


def _is_choice_of_purposes(value: Any) -> bool:
    """Whether what stands under "preferences" is all that was chosen, not the purpose so called."""
    if isinstance(value, str):
        return _letters(value).endswith(("all", "only"))
    return isinstance(value, (Mapping, list))


def _holds_words(value: Sequence[Any]) -> bool:
    """Whether a list of an unknown name holds anything that can be understood."""
    return any(
        not isinstance(each, str)
        or _word(each) is not None
        or purpose_called(_letters(each)) is not None
        for each in value
    )


def _purpose_of_entry(inner: Sequence[tuple[str, Any]]) -> tuple[Purpose, ...] | None:
    """Of an object such as ``{"purpose": "marketing", "granted": false}``, which purpose it is
    about; None where it names none."""
    for name, each in inner:
        if name in ("purpose", "category", "name", "type", "key", "id", "scope", "group", "label"):
            letters = _letters(each) if isinstance(each, str) else ""
            if letters in PURPOSE_OF:
                return PURPOSE_OF[letters]
    return None


def _of_list(
    value: Sequence[Any], purposes: tuple[Purpose, ...], depth: int, denied_ids: frozenset[str]
) -> Iterator[tuple[Purpose, Said]]:
    """A list of purposes is what was agreed to: what is not in it was not. A list of objects is
    read one by one."""
    words = [_letters(each) for each in value if isinstance(each, str) and each.strip()]
    known = [PURPOSE_OF[word] for word in words if word in PURPOSE_OF]
    for each in value:
        if isinstance(each, (Mapping, list)):
            yield from _read(each, purposes, depth + 1, denied_ids)
    if not words:
        if value and all(isinstance(each, (bool, int, float)) for each in value):
            yield from _all(purposes, Said.UNCLEAR)
        return
    if not known:
        said = {_word(each) for each in value if isinstance(each, str)}
        only = said.pop() if len(said) == 1 else None
        yield from _all(purposes, only or Said.UNCLEAR)
        return
    agreed = {purpose for of_word in known for purpose in of_word}
    for purpose in purposes:
        yield purpose, Said.AGREED if purpose in agreed else Said.DENIED


def _of_refusal(value: Any, purposes: tuple[Purpose, ...]) -> Statements:
    """What a field says that is named after a refusal: true, a time or a list of purposes is one;
    that there was none is no consent."""
    if value is None or value in ("", [], {}):
        return {}
    if isinstance(value, (list, tuple)):
        return _of_refused_list(value, purposes)
    if isinstance(value, Mapping):
        agreed = _merged(_read(value, purposes, 0, frozenset())).values()
        return dict.fromkeys(purposes, Said.DENIED) if set(agreed) != {Said.DENIED} else {}
    if isinstance(value, str) and _letters(value) in _SILENT:
        return {}
    said = _word(value)
    if said is Said.DENIED and isinstance(value, str) and not _is_no(value):
        return dict.fromkeys(purposes, Said.DENIED)
    return {} if said is Said.DENIED else dict.fromkeys(purposes, Said.DENIED)


def _of_refused_list(value: Sequence[Any], purposes: tuple[Purpose, ...]) -> Statements:
    words = [_letters(each) for each in value if isinstance(each, str)]
    if words and all(word in PURPOSE_OF for word in words):
        refused = {purpose for word in words for purpose in PURPOSE_OF[word]}
        return {purpose: Said.DENIED for purpose in purposes if purpose in refused}
    return dict.fromkeys(purposes, Said.UNCLEAR)


def _is_no(text: str) -> bool:
    return _letters(text) in ("no", "n", "false", "f", "0", "off", "none", "nein")


def _of_ids(name: str, value: Any, denied_ids: frozenset[str]) -> Statements:
    """RudderStack's lists of a consent manager's own ids, which only the site can tell apart."""
    ids = value if isinstance(value, (list, tuple)) else [value]
    texts = {str(each).strip() for each in ids if each not in (None, "")}
    if not texts:
        return {}
    purposes = {purpose for each in texts for purpose in PURPOSE_OF.get(_letters(each), ())}
    if name == "allowedconsentids":
        return dict.fromkeys(purposes, Said.AGREED) if not denied_ids else {}
    if denied_ids:
        return dict.fromkeys(ADVERTISING, Said.DENIED) if texts & denied_ids else {}
    known = all(_letters(each) in PURPOSE_OF for each in texts)
    if known:
        return dict.fromkeys(purposes, Said.DENIED)
    return dict.fromkeys(ADVERTISING, Said.UNCLEAR)


def _of_encoded(read: Callable[[str], dict[str, bool] | None], value: Any) -> Statements:
    if value is None or value in ("", [], {}):
        return {}
    if isinstance(value, bool) and read is not read_us_privacy:
        # `gdpr_consent: false` is a choice and no string.
        return dict.fromkeys(EVERYTHING, Said.AGREED if value else Said.DENIED)
    if isinstance(value, (Mapping, list, tuple)):
        return _merged(_read(value, EVERYTHING, 0, frozenset()))
    text = value.strip() if isinstance(value, str) else str(value)
    stated = read(text)
    if stated is None:
        return _merged(_of_text(text, EVERYTHING, 0, frozenset()))
    return {
        Purpose(name): Said.GRANTED if granted else Said.DENIED for name, granted in stated.items()
    }
