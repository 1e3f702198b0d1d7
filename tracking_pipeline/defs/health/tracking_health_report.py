"""The asset ``tracking_health_report``: what an operator reads, here and as a file.

It tells the last check and what is on record before it; it measures nothing itself and raises
nothing. The page stands under ``TRACKING_HOME/reports/latest.html``, with the last one of each day
beside it.
"""

from pathlib import Path
from statistics import median
from typing import Any

import dagster as dg

from tracking_pipeline.defs.health.assets import GROUP, OWNERS
from tracking_pipeline.defs.metadata import floats
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.delivery.destinations.meta.account import MetaAccount
from tracking_pipeline.health.view.report_data import ReportData, read_report_data
from tracking_pipeline.wiring.health import health_config
from tracking_pipeline.wiring.installation import Installation


@dg.asset(
    name="tracking_health_report",
    group_name=GROUP,
    kinds={"python"},
    owners=OWNERS,
    deps=[
        "emq_score",
        "queue_depth",
        "error_rate",
        "geo_coverage",
        "tracking_health_alerts",
        "meta_reported_emq",
    ],
    description="The state of tracking: what is wrong, what to do, metrics with their thresholds, "
    "charts of two weeks, and how it would be without the pipeline. Read `report` "
    "here, or open the file `page`: it needs no network. It shows the last health "
    "check. If it fails, the database could not be used or the file could not be "
    "written, and the error says which.",
)
def tracking_health_report(tracking: TrackingResource) -> dg.MaterializeResult[Any]:
    with tracking.open() as installation:
        return dg.MaterializeResult(metadata=_make(installation))


def _make(installation: Installation) -> dict[str, Any]:
    # pandas takes a second to import; every process of Dagster loads this module.
    from tracking_pipeline.health.view.report import make_report  # noqa: PLC0415
    from tracking_pipeline.health.view.report_pages import (  # noqa: PLC0415
        ReportFileError,
        report_html,
        report_markdown,
        reports_folder,
        write_report,
    )

    settings = installation.settings
    data = read_report_data(
        installation.database,
        health_config(settings),
        asks_meta=MetaAccount.configured(settings) is not None,
    )
    report = make_report(data)
    try:
        page = write_report(reports_folder(settings.home), report_html(report), report.made_at)
    except ReportFileError as error:
        raise dg.Failure(description=str(error)) from None
    critical = sum(problem.severity == "critical" for problem in report.problems)
    return {
        "report": dg.MetadataValue.md(report_markdown(report)),
        "page": dg.MetadataValue.path(Path(page)),
        "status": report.status,
        "open_alerts": len(report.problems),
        "critical_alerts": critical,
        **_numbers(data, report.calibration.error),
    }


def _numbers(data: ReportData, calibration_error: float | None) -> dict[str, Any]:
    """What is worth plotting and is no metric of a check."""
    seconds = data.breach_to_alert_seconds
    return floats(
        {
            "recovery_percent": data.summary.value("recovery_rate"),
            "breach_to_alert_seconds": median(seconds) if seconds else None,
            "calibration_error": calibration_error,
            "seconds_since_check": data.summary.heartbeat.seconds_since_check,
        }
    )
