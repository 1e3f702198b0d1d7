"""Agreement with Google's own library; every difference is written down with its reason."""

from __future__ import annotations

from collections.abc import Callable

from google.ads.datamanager_util.format import Formatter

from tracking_pipeline_tests.identity.differences import made_comparison, written_comparison


def test_we_differ_from_the_formatter_of_google_where_it_is_written_and_nowhere_else(
    record_property: Callable[[str, object], None],
) -> None:
    formatter = Formatter()

    made = made_comparison(
        "google",
        {
            "em": formatter.format_email_address,
            "ph": formatter.format_phone_number,
            "fn": formatter.format_given_name,
            "ln": formatter.format_family_name,
            "ct": formatter.format_city,
            "st": formatter.format_administrative_area,
            "zp": formatter.format_postal_code,
            "country": formatter.format_region_code,
        },
    )

    record_property("agreed", f"{made.agreed} of {made.compared}")
    assert made == written_comparison("google-ads-datamanager-util")
