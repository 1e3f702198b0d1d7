"""Every spelling of a person becomes the right match keys, for each platform.

`normalize` reads one value, `match_keys` a whole payload, `sanitize` takes the person out of it,
`plain_reason` out of a line for people.
"""

from tracking_pipeline.identity.match import (
    MatchKeys,
    google_hashes,
    hashed_user_data,
    match_keys,
    read_match_keys,
)
from tracking_pipeline.identity.match_value import normalize
from tracking_pipeline.identity.platforms import ExternalIdMode
from tracking_pipeline.identity.sanitize import plain_reason, sanitize

__all__ = [
    "ExternalIdMode",
    "MatchKeys",
    "google_hashes",
    "hashed_user_data",
    "match_keys",
    "normalize",
    "plain_reason",
    "read_match_keys",
    "sanitize",
]
