"""A metric is one row of the catalogue: a dummy one goes all the way, from its value to every place
where a metric is told."""

from __future__ import annotations

import io
from collections.abc import Callable

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from tracking_pipeline.cli import health as cli_health
from tracking_pipeline.health.check import CheckResult
from tracking_pipeline.health.metrics import (
    METRICS,
    AlertSpec,
    Measured,
    MetricSpec,
    alert_specs,
    alert_types,
)
from tracking_pipeline.health.view.report import make_report
from tracking_pipeline.health.view.report_data import read_report_data
from tracking_pipeline.health.view.report_pages import report_html, report_markdown
from tracking_pipeline.health.view.summary import check_json
from tracking_pipeline.store.database import Database
from tracking_pipeline_tests.health.checking import check_tracking_health
from tracking_pipeline_tests.health.site import Site, policy
from tracking_pipeline_tests.web.conftest import Serve

Check = Callable[[float], CheckResult]


@pytest.fixture
def site(connection: psycopg.Connection) -> Site:
    return Site(connection)


@pytest.fixture
def check(site: Site, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Registers the metric ``tea_left`` and runs a check in which it has this value."""
    cups = [0.0]
    tea = MetricSpec(
        name="tea_left",
        title="Cups of tea left",
        read=lambda readings: Measured(cups[0], causes=("somebody drank it",)),
        figure=True,
        export=("tracking_tea_left", "Cups of tea left."),
        alert=AlertSpec(
            type="out_of_tea",
            title="There is hardly any tea left",
            rank=9,
            bad="cups of tea left: {value}",
            beyond="fewer than {threshold}",
            over="cups of tea left: {value}",
            next_step="Put the kettle on",
            direction="below",
            warning=5,
            critical=2,
        ),
    )
    monkeypatch.setitem(METRICS, tea.name, tea)
    # What the migration of a new type of alert does.
    site.connection.execute(
        "alter table tracking_health_alerts drop constraint tracking_health_alerts_alert_type_check"
    )

    def run(value: float) -> CheckResult:
        cups[0] = value
        return check_tracking_health(database_url, policy())

    return run


def test_a_new_metric_raises_worsens_and_ends_its_alert(site: Site, check: Check) -> None:
    assert check(9).recorded.alerts_created == ()
    assert check(4).recorded.alerts_created == ("out_of_tea",)
    check(1)
    (alert,) = site.alerts(open_only=True)
    assert alert["severity"] == "critical"
    assert alert["message"].startswith("Cups of tea left: 1, fewer than 2 (critical), since ")
    assert alert["message"].endswith("Likely cause: somebody drank it. Put the kettle on.")
    check(9)
    assert check(9).recorded.alerts_resolved == ("out_of_tea",)
    assert site.alerts()[0]["message"].startswith("Cups of tea left: 9 now, was fewer than 2")


def test_a_new_metric_is_shown_wherever_metrics_are(
    check: Check, serve: Serve, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = check(4)

    served = serve()
    page = served.admin.get("/").text
    assert "Cups of tea left" in page
    assert "There is hardly any tea left" in page
    assert "Put the kettle on." in page
    health = served.get("/admin-tracking-health")
    assert health["statusReason"] == "There is hardly any tea left."
    samples = {
        (sample.name, sample.labels.get("alert_type")): sample.value
        for family in text_string_to_metric_families(served.admin.get("/metrics").text)
        for sample in family.samples
    }
    assert samples["tracking_tea_left", None] == 4
    assert samples["tracking_alert_level", "out_of_tea"] == 1

    database = Database(database_url, "tracking", rehearsal=False)
    report = make_report(read_report_data(database, policy(), asks_meta=False))
    for text in (report_html(report), report_markdown(report)):
        assert "Cups of tea left" in text
        assert "below 5" in text
        assert "Put the kettle on." in text

    printed = io.StringIO()
    monkeypatch.setattr(cli_health, "out", Console(file=printed, width=200))
    cli_health.show_check(check_json(result))
    assert "Cups of tea left" in printed.getvalue()
    assert "warning" in printed.getvalue()


def test_the_names_of_the_catalogue_are_each_one_s_own() -> None:
    types = [alert.type for _, alert in alert_specs()]
    ranks = [alert.rank for _, alert in alert_specs()]
    assert len(set(types)) == len(types)
    assert len(set(ranks)) == len(ranks)
    assert all(name == spec.name for name, spec in METRICS.items())


def test_the_table_lets_in_every_type_of_alert(site: Site) -> None:
    for name in alert_types():
        site.connection.execute(
            "insert into tracking_health_alerts (alert_type, severity, message)"
            " values (%s, 'warning', '')",
            (name,),
        )
