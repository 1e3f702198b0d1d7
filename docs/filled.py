"""What fills hand-written pages between their marks, and the page of failures: tables that are made
from the code's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

from tracking_pipeline.delivery.destinations import http_answers
from tracking_pipeline.delivery.destinations.codes import Codes
from tracking_pipeline.delivery.destinations.registry import REGISTRY
from tracking_pipeline.delivery.failures import DOES, Failure
from tracking_pipeline.events import names
from tracking_pipeline.events.consent_names import ENCODED, PURPOSE_NAMES
from tracking_pipeline.events.forms import FORMS
from tracking_pipeline.events.plan import PRIVACY_OPTIONS
from tracking_pipeline.identity.match_value import normalize
from tracking_pipeline.identity.platforms import PLATFORMS, KeyRule
from tracking_pipeline.settings import Settings


def with_tables(path: Path) -> str:
    """The page with what stands between its marks ``<!-- name -->`` written anew."""
    text = path.read_text(encoding="utf-8")
    for name, make in _MADE.items():
        if f"<!-- {name} -->" in text:
            text = re.sub(
                rf"(<!-- {name} -->\n).*(<!-- /{name} -->)",
                partial(_filled, make()),
                text,
                flags=re.DOTALL,
            )
    return text


def _filled(made: str, marks: re.Match[str]) -> str:
    return f"{marks[1]}\n{made}\n\n{marks[2]}"


def table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(_cell(text) for text in row)} |" for row in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(spellings: str) -> str:
    return " ".join(f"`{name}`" for name in spellings.split())


# --- destinations ---


def needed_settings() -> str:
    unset = Settings.model_construct()
    return table(
        ("destination", "name", "needs"),
        ((spec.title, f"`{spec.name}`", _needs(tuple(spec.required(unset)))) for spec in REGISTRY),
    )


def _needs(names: tuple[str, ...]) -> str:
    return ", ".join(re.sub(r"([A-Z0-9_]+)", r"`\1`", each) for each in names) or "nothing"


def limits() -> str:
    unset = Settings.model_construct().model_dump()
    return table(
        ("destination", "oldest event", "same id recognised"),
        (
            (
                f"`{spec.name}`",
                _days(spec.age_limit(unset)) or "any age",
                {None: "no limit is known", "0 hours": "never"}.get(
                    within := _days(spec.duplicate_window), f"for {within}"
                ),
            )
            for spec in REGISTRY
        ),
    )


def _days(span: timedelta | None) -> str | None:
    if span is None:
        return None
    hours = round(span / timedelta(hours=1))
    return f"{hours // 24} days" if hours > 48 else f"{hours} hour{'s' * (hours != 1)}"


# --- what is read from a payload ---


def forms() -> str:
    return table(
        ("form", "told by", "its own words"),
        (
            (
                form.title,
                _told_by(form.needs, form.one_of),
                ", ".join(f"`{name}` is the {field}" for name, field in form.means.items()),
            )
            for form in FORMS
        ),
    )


def _told_by(needs: Iterable[str], one_of: Iterable[str]) -> str:
    parts = [" and ".join(f"`{name}`" for name in sorted(needs))]
    if one_of:
        parts.append(f"one of {', '.join(f'`{name}`' for name in sorted(one_of))}")
    told = ", ".join(part for part in parts if part)
    return told or "none of the others"


def event_fields() -> str:
    return table(
        ("field", "names", "only in the event"),
        (
            (
                field,
                _code(spellings),
                _code(
                    f"{names.NEAR_EVENT_FIELDS.get(field, '')} "
                    f"{names.WEAK_EVENT_FIELDS.get(field, '')}"
                ),
            )
            for field, spellings in names.EVENT_FIELDS.items()
        ),
    )


def cart() -> str:
    return table(
        ("of a cart", "names"),
        (
            ("its lines", _code(" ".join(names.ITEM_LISTS))),
            *((f"a line's {field}", _code(each)) for field, each in names.ITEM_FIELDS.items()),
            *((field, _code(each)) for field, each in names.CART_FIELDS.items()),
        ),
    )


def match_keys() -> str:
    return table(
        ("match key", "names"),
        ((key, _code(spellings)) for key, spellings in names.IDENTIFIERS.items()),
    )


def platform_ids() -> str:
    return table(
        ("identifier", "names"),
        ((key, _code(spellings)) for key, spellings in names.PLATFORM_IDS.items()),
    )


def consent_needs() -> str:
    return table(
        ("destination", "must not be refused"),
        (
            (name, ", ".join(f"`{purpose.value}`" for purpose in needs))
            for spec in REGISTRY
            for protocol, needs in (("", spec.needs), *spec.needs_of_protocol.items())
            for name in (f"{spec.name}, {protocol}" if protocol else spec.name,)
            if needs
        ),
    )


def purposes() -> str:
    return table(
        ("purpose", "names"),
        (
            *(
                (
                    ", ".join(f"`{purpose.value}`" for purpose in asked) or "asked for by nobody",
                    _code(spellings),
                )
                for asked, spellings in PURPOSE_NAMES.items()
            ),
            ("encoded strings", _code(" ".join(ENCODED))),
        ),
    )


def privacy_options() -> str:
    return _code(" ".join(PRIVACY_OPTIONS))


# --- the platforms side by side ---

_KEYS = tuple(dict.fromkeys(key for rules in PLATFORMS.values() for key in rules))
# (match key, value, country): what the platforms' own pages tell differently.
_DIFFER = (
    ("em", "J.Doe+news@Gmail.com", "US"),
    ("em", "J.Doe+news@Example.com", "US"),
    ("em", "Jane-Doe@Example.com", "US"),
    ("ph", "(650) 555-1212", "US"),
    ("ph", "+44 (0)844 412 4653", "GB"),
    ("fn", "Mary Ann", "US"),
    ("ln", "O'Neil", "US"),
    ("ct", "Saint-Étienne", "FR"),
    ("st", "California", "US"),
    ("zp", "94035-1234", "US"),
    ("zp", "1012 ab", "NL"),
    ("country", "United States", "US"),
    ("external_id", "USER 42", "US"),
)


def match_key_rules() -> str:
    return table(
        ("key", *PLATFORMS),
        ((key, *(_sent(rules.get(key)) for rules in PLATFORMS.values())) for key in _KEYS),
    )


def _sent(rule: KeyRule | None) -> str:
    if rule is None:
        return ""
    return f"{'hashed' if rule.hashed else 'plain'}{', list' if rule.many else ''}"


def match_key_texts() -> str:
    return table(
        ("key", "country", "value", *PLATFORMS),
        (
            (key, country, f"`{value}`", *_texts(key, value, country))
            for key, value, country in _DIFFER
        ),
    )


def _texts(key: str, value: str, country: str) -> Iterator[str]:
    for platform in PLATFORMS:
        text = normalize(key, value, platform, country)
        yield "" if text is None else f"`{text}`"


_MADE = {
    "destinations": needed_settings,
    "limits": limits,
    "forms": forms,
    "event fields": event_fields,
    "cart": cart,
    "match keys": match_keys,
    "platform ids": platform_ids,
    "consent": consent_needs,
    "purposes": purposes,
    "privacy options": privacy_options,
    "match key rules": match_key_rules,
    "match key texts": match_key_texts,
}

# --- failures ---

_FAILURES = """\
# Failures

Every failure that the pipeline can tell has a public code, which never changes. `status`, the
health page, alerts, `explain` and the columns `failure_code` of `tracking_delivery_attempts` and
`tracking_failed_events` show it. This page is made from the pipeline's own tables; `make docs`
writes it anew.

What becomes of an event:
"""


def failures_page() -> str:
    """The page as Markdown."""
    return "\n".join(_failures()).rstrip("\n") + "\n"


def tables_of_codes() -> dict[str, Codes]:
    """Every table of codes, by whose it is."""
    found = {spec.title: spec.implementation().codes for spec in REGISTRY}
    return {**found, "An answer without a platform's own words": http_answers.CODES}


def _failures() -> Iterator[str]:
    yield _FAILURES
    for outcome, does in DOES.items():
        yield f"- **{outcome}**: {does}"
    yield "\n## By code\n"
    for failure in Failure:
        yield f"### {failure.code}\n"
        yield f"{failure.title[:1].upper()}{failure.title[1:]} (**{failure.outcome}**).\n"
        yield f"- Cause: {failure.cause}"
        yield f"- Remedy: {failure.remedy}"
        for title, codes in tables_of_codes().items():
            if led := _leading_to(failure, codes):
                yield f"- {title}: {led}"
        yield ""
    yield "## By platform\n"
    for title, codes in tables_of_codes().items():
        yield f"### {title}\n"
        yield "| code | outcome | failure | source |"
        yield "|---|---|---|---|"
        rows: dict[tuple[Failure, str], list[str]] = {}
        for code, each in codes.table.items():
            rows.setdefault((each.failure, each.source), []).append(code)
        for (failure, source), named in rows.items():
            yield f"| {_shown(named)} | {failure.outcome} | {failure.code} | {source} |"
        for outcome, failure in codes.otherwise.items():
            yield f"| any other | {outcome} | {failure.code} | |"
        yield ""


def _leading_to(failure: Failure, codes: Codes) -> str:
    named = [code for code, each in codes.table.items() if each.failure is failure]
    others = ["any other"] if failure in codes.otherwise.values() else []
    return ", ".join(filter(None, (_shown(named), *others)))


def _shown(codes: list[str]) -> str:
    """The codes, with a run of numbers as its first and its last."""
    runs: list[list[str]] = []
    for code in codes:
        follows = runs and code.isdecimal() and runs[-1][-1].isdecimal()
        if follows and int(code) == int(runs[-1][-1]) + 1:
            runs[-1].append(code)
        else:
            runs.append([code])
    parts = [f"`{run[0]}` to `{run[-1]}`" if len(run) > 2 else _names(run) for run in runs]
    return ", ".join(parts)


def _names(codes: list[str]) -> str:
    return ", ".join(f"`{code}`" for code in codes)
