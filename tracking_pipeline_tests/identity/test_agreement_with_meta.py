"""Agreement with Meta's own library; every difference is written down with its reason."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

import pytest
from facebook_business.adobjects.serverside.normalize import Normalize

from tracking_pipeline_tests.identity.differences import made_comparison, written_comparison

KEYS = ("em", "ph", "fn", "ln", "ct", "st", "zp", "country", "ge", "db", "external_id")


def test_we_differ_from_the_sdk_of_meta_where_it_is_written_and_nowhere_else(
    caplog: pytest.LogCaptureFixture, record_property: Callable[[str, object], None]
) -> None:
    # The SDK logs the values it refuses.
    caplog.set_level(logging.CRITICAL)

    made = made_comparison(
        "meta", {key: partial(Normalize.normalize_field_skip_hashing, key) for key in KEYS}
    )

    record_property("agreed", f"{made.agreed} of {made.compared}")
    assert made == written_comparison("facebook-business")
