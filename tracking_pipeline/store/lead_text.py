"""What statements on ``leads`` read out of a site's own text: blanks, and a lead's address."""

from __future__ import annotations

from typing_extensions import LiteralString

from tracking_pipeline.null_markers import NULL_MARKERS
from tracking_pipeline.store.migrations.indexes import CUT_ADDRESS

# White space and invisible characters, the same ones as in ``identity/text.py``; which of them
# ``\\s`` knows hangs on the locale.
_BLANK: LiteralString = (
    "\\s\\u0001-\\u0020\\u007f-\\u00a0\\u00ad\\u034f\\u061c\\u1680\\u180e\\u2000-\\u200f"
    "\\u2028-\\u202f\\u205f-\\u2064\\u2066-\\u206f\\u3000\\ufe00-\\ufe0f\\ufeff"
)


def _literally(text: LiteralString) -> LiteralString:
    """The pattern of a text."""
    for character in ("\\", "(", ")", "[", "]", "?", "."):
        text = text.replace(character, "\\" + character)
    return text


_NOTHING: LiteralString = "|".join([_literally(marker) for marker in NULL_MARKERS])

SAID: LiteralString = f"~ '^(?![{_BLANK}]*(?:{_NOTHING})[{_BLANK}]*$).*[^{_BLANK}]'"
"""Behind a text: it says something. White space, invisible characters and the words by which
programs write that there is no value say nothing; see ``null_markers.py``."""

NOT_SAID: LiteralString = f"!{SAID}"

# Some sites store the text of the object: encoded twice, as they do with session_data.
_OF_EVENT: LiteralString = """case jsonb_typeof(e.user_data) when 'string'
            then substring(e.user_data #>> '{}' from '"client_ip_address"\\s*:\\s*"([^"]*)"')
            else e.user_data ->> 'client_ip_address' end"""

STORED_ADDRESS: LiteralString = f"""coalesce(
        case when w.client_ip {SAID} and w.client_ip !~ {CUT_ADDRESS} then w.client_ip end,
        (select {_OF_EVENT} from public.wm_event_log e
         where e.lead_id = w.id and {_OF_EVENT} {SAID}
         order by e.created_at desc nulls last limit 1),
        (select {_OF_EVENT} from public.tracking_failed_events e
         where e.lead_id = w.id and {_OF_EVENT} {SAID}
         order by e.created_at desc nulls last limit 1))"""  # noqa: S608  constants of ours
"""The address of the lead ``w`` (``id``, ``client_ip`` as text) as the site stored it: its own,
else that of its newest event in the ledger, else of its newest failed event."""
