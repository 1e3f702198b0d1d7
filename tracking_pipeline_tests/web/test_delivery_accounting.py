"""Did the conversions arrive, as the dashboard is told."""

from __future__ import annotations

import psycopg
import pytest

from tracking_pipeline_tests.health.site import Site
from tracking_pipeline_tests.web.serving import FUNCTIONS, Served

ACCOUNTING = "/admin-delivery-accounting"


@pytest.fixture
def site(connection: psycopg.Connection) -> Site:
    return Site(connection)


def test_the_numbers_of_each_line_are_its_conversions(served: Served, site: Site) -> None:
    ids = site.add_events(6, at=site.ago(hours=30))
    for event_id, columns in zip(
        ids,
        (
            {"status": "dead_letter", "dead_letter_reason": "invalid phone"},
            {"status": "resolved", "resolved_by": "tracking_pipeline"},
            {"status": "resolved", "withheld_reason": "consent denied"},
            {"status": "pending"},
        ),
        strict=False,
    ):
        site.add_failed(event_id=event_id, **columns)

    found = served.get(ACCOUNTING, destination="meta_capi")["destinations"]["meta_capi"]

    for line in (found, *found["by_event"]):
        classes = ("assumed_delivered", "waiting", "dead", "never_handed_over", "withheld")
        counted = line["delivered"]["total"] + sum(line[each] for each in classes)
        assert counted + line["difference"] == line["conversions"] == 6
    assert found["delivered"]["retry"] == 1
    assert found["delivered_percent"] == 60.0
    assert [each["events"] for each in found["funnel"]] == [6, 1, 5, 3, None]
    reasons = {each["reason"]: each for each in found["reasons"]}
    assert reasons["invalid phone"]["samples"] == [str(ids[0])]
    assert reasons["consent denied"]["kind"] == "consent"


def test_an_empty_window_is_refused(served: Served) -> None:
    days = {"since": "2026-02-01", "until": "2026-01-01"}
    assert served.admin.get(FUNCTIONS + ACCOUNTING, params=days).status_code == 422
