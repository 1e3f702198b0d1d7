"""The page "What we read from a payload", made of the tables that the reader itself uses.

python -m tracking_pipeline.events.describe > docs/what-we-read.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from tracking_pipeline.delivery.destinations.registry import REGISTRY
from tracking_pipeline.events import names
from tracking_pipeline.events.consent_names import ENCODED, PURPOSE_NAMES
from tracking_pipeline.events.forms import FORMS
from tracking_pipeline.events.plan import PRIVACY_OPTIONS

_INTRODUCTION = """\
# What we read from a payload

A stored event may have almost any shape. It is opened once, by one reader, for every destination,
the ledger, the importer, intake, replay and `tracking-pipeline explain`. This page is made from the
reader's own tables; to see what it makes of one payload, ask `tracking-pipeline explain`.

**Names** are compared without case, spaces and punctuation: `userEmail`, `user_email`, `User-Email`
and `USER EMAIL` are one name. The tables show them in that plain spelling.

**Envelopes** are taken off wherever they stand, also where the event is JSON text, a form-encoded
body or base64. An envelope's own `id`, `time`, `name` and `url` are not the event's.

**Each field is read, absent, or unreadable.** What is there and cannot be read is named by where it
stands (`unreadable custom_data.value`), never taken for missing and never replaced by a default. A
placeholder (`undefined`, `(not set)`, `{{order.id}}`, `0` as an id) is no value.

**Several events** in one row are refused whole: one person's data would go out with another's
order. **Of several people** in one payload the one nearest to the event counts; data of somebody
with another e-mail, phone or name is left out.

**Secrets** (names that end in `token`, `secret`, `password`, `authorization`, and the like; cookies
headers; such parameters in addresses) are neither kept nor sent.
"""

_TIMES = """\
## Times and amounts

A time may be Unix seconds, milli-, micro- or nanoseconds, ISO 8601 (also the basic form), RFC 2822,
or what JavaScript's `Date` writes. A date without a time is unreadable. A time without a zone is in
`SITE_TIMEZONE` (UTC where that is unset). An event whose time is to come waits for it, up to
`FUTURE_EVENTS_WAIT_HOURS`; without any time of its own an event was at the row's `created_at`.

Names that say a time by their words are read too, where none of the table stands in the event:
`order_date`, `submitted_on`, `checkout_completed_at`; then the record's (`inserted_at`), then a
machine's clock (`server_time`, `sent_at`). Never what something else is dated by: `birth_date`,
`updated_at`, `due_date`, `delivery_date`, `appointment_time`.

An amount may be a number, or text as shops write it: `$1,299.00`, `1.299,00 €`, `CHF 10`,
`1'299.50`, `1 299,00 kr`; or an object with an amount and a currency, in minor units where it says
how many (`precision`, `scale`, `fractionDigits`, `exponent`). Klarna's `order_amount` (beside
`purchase_currency` and `order_lines`) is in minor units. `1,234` is a thousand and
more, `1.234` without a currency beside it is one and a bit. An amount that names another currency
than the event does is unreadable. A whole number as an id loses the `.0` that a table gave it.
"""

_CONSENT = """\
## Consent

A statement is looked for wherever a person's identifiers are, under any name that says consent, the
names of purposes below, and those of consent managers (categories, groups, `gcs`, `gcd`, IAB's TC,
GPP and US Privacy strings). It may be a boolean, 0 or 1, a word (granted, accepted, allowed, opted
in, yes, on; denied, declined, refused, withdrawn, opted out, no, off; some of other languages), an
object by purpose, a list of the purposes that were accepted, or JSON text of any of these.

- **Refused**: not sent to an ad platform. The row is settled as *withheld*; the site's own ledger
  keeps the event.
- **There, and not to be understood**: not sent; a dead letter whose reason names the field.
- **Nothing said**: what `CONSENT_DEFAULT` says (`unknown`: sent, and Google is told nothing;
  `granted`: sent, and Google's request says granted; `denied`: withheld).
- **Personalisation alone refused**: sent, and the platform is told: Google's `adPersonalization`,
  the Measurement Protocol's `ad_personalization`, Meta's `opt_out`.
- Of several statements the strictest counts. Consent to be called or written to (e-mail, SMS, TCPA)
  is another question and says nothing here.
- `Sec-GPC` and its like limit the use of the data (Meta's LDU, no personalisation at Google), or
  withhold the event, or do nothing, as `GLOBAL_PRIVACY_CONTROL` says.
"""


def page() -> str:
    """The page as Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _INTRODUCTION
    yield "## Forms\n"
    yield from _table(
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
    yield "\n## The event\n"
    yield (
        "Names that say so wherever they stand, then names that count only in the event itself and "
        "in its own parts.\n"
    )
    yield from _table(
        ("field", "names", "only in the event"),
        (
            (
                field,
                _code(names.EVENT_FIELDS.get(field, "")),
                _code(
                    f"{names.NEAR_EVENT_FIELDS.get(field, '')} "
                    f"{names.WEAK_EVENT_FIELDS.get(field, '')}"
                ),
            )
            for field in names.EVENT_FIELDS
        ),
    )
    yield f"\nThe lines of a cart stand in {_code(' '.join(names.ITEM_LISTS))}:\n"
    yield from _table(
        ("of a cart", "names"),
        (
            *((f"a line's {field}", _code(each)) for field, each in names.ITEM_FIELDS.items()),
            *((field, _code(each)) for field, each in names.CART_FIELDS.items()),
        ),
    )
    yield ""
    yield _TIMES
    yield "## The person\n"
    yield (
        "A `state`, `region`, `city` or `gender` is a person's in a person's place, or beside "
        "other words of an address or of a person; in `custom_data`, products and the like it is "
        "the product's.\n"
    )
    yield from _table(
        ("match key", "names"),
        ((key, _code(spellings)) for key, spellings in names.IDENTIFIERS.items()),
    )
    yield "\nIdentifiers that only a platform knows:\n"
    yield from _table(
        ("identifier", "names"),
        ((key, _code(spellings)) for key, spellings in names.PLATFORM_IDS.items()),
    )
    yield ""
    yield _CONSENT
    yield "What each destination needs, and what purposes are called:\n"
    yield from _table(
        ("destination", "must not be refused"),
        (
            (name, ", ".join(f"`{purpose.value}`" for purpose in needs))
            for spec in REGISTRY
            for protocol, needs in (("", spec.needs), *spec.needs_of_protocol.items())
            for name in (f"{spec.name}, {protocol}" if protocol else spec.name,)
            if needs
        ),
    )
    yield ""
    yield from _table(
        ("purpose", "names"),
        (
            (
                ", ".join(f"`{purpose.value}`" for purpose in purposes) or "asked for by nobody",
                _code(spellings),
            )
            for purposes, spellings in PURPOSE_NAMES.items()
        ),
    )
    yield f"\nEncoded strings are read under {_code(' '.join(ENCODED))}.\n"
    yield "## Privacy options\n"
    options = ", ".join(f"`{option}`" for option in PRIVACY_OPTIONS)
    yield (
        f"{options} are read in any spelling and place, as booleans, numbers, words, lists or JSON "
        "text, and go to Meta in its types. One that cannot be read keeps the event back."
    )


def _told_by(needs: Iterable[str], one_of: Iterable[str]) -> str:
    parts = [" and ".join(f"`{name}`" for name in sorted(needs))]
    if one_of:
        parts.append(f"one of {', '.join(f'`{name}`' for name in sorted(one_of))}")
    told = ", ".join(part for part in parts if part)
    return told or "none of the others"


def _code(spellings: str) -> str:
    return " ".join(f"`{name}`" for name in spellings.split())


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


if __name__ == "__main__":
    sys.stdout.write(page())
