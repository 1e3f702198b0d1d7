"""``enrich_leads_job``: gives leads without a city, state or zip the place of their IP address.

What is taken: leads that nobody has looked up yet, and those whose next look-up has its time. What
a person said is never replaced: the lead's own columns and the place in its session come first.

What fails a run: a database that cannot be reached or stays away, tables that are not migrated, a
setting that cannot be read. A source of places that is down, used up or not configured does not:
its leads wait, and the run's metadata says so.

What a second run does: the same thing, safely at the same time. A run that is killed loses nothing;
leads whose address it was asking about come back within five minutes.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

import dagster as dg
from pydantic import Field

from tracking_pipeline.defs.metadata import AGAIN_FROM_THE_START, GROUP_TAG, LONG_RUN, table
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.defs.ticks import every, is_under_way
from tracking_pipeline.geo.enrich import (
    TIME_BUDGET_SECONDS,
    EnrichRequest,
    EnrichTotals,
    enrich_leads,
)
from tracking_pipeline.store.database import connect
from tracking_pipeline.store.leads import read_locate_backlog

STATUSES = ("ok", "no_data", "private", "invalid", "rate_limited", "error")
SOURCES = ("session", "mmdb", "ip_api", "ipinfo")


class EnrichConfig(dg.Config):
    """What to enrich. Untouched, it takes every lead that is due."""

    limit: int = Field(
        default=0,
        description="Maximum number of leads, newest first. 0: all that are due.",
    )
    recheck_failed: bool = Field(
        default=False,
        description="Also look up leads again whose lookup failed before (no data, a private or "
        "invalid address, a source that failed repeatedly), or found only a part of "
        "the location.",
    )
    providers: Literal["all", "mmdb", "ip_api", "ipinfo"] = Field(
        default="all",
        description="Use only this geolocation source, or all of GEO_PROVIDERS in their order.",
    )
    time_budget_seconds: int = Field(
        default=TIME_BUDGET_SECONDS,
        description="The run starts no more leads after this many seconds, 1 to 3600. The rest "
        "stays due for the next run.",
    )
    dry_run: bool = Field(
        default=False,
        description="Only count; change nothing and query no online source.",
    )

    def request(self, default_country: str) -> EnrichRequest:
        """The request of these values. Raises ``dagster.Failure`` where one is out of bounds: the
        launchpad itself does not check bounds."""
        if self.limit < 0:
            raise dg.Failure("limit must be 0 or more", allow_retries=False)
        if not 1 <= self.time_budget_seconds <= 3600:
            raise dg.Failure("time_budget_seconds must be 1 to 3600", allow_retries=False)
        return EnrichRequest(
            limit=self.limit,
            dry_run=self.dry_run,
            recheck_failed=self.recheck_failed,
            providers=() if self.providers == "all" else (self.providers,),
            time_budget_seconds=float(self.time_budget_seconds),
            default_country=default_country,
        )


@dg.op(
    name="enrich_leads",
    description="Goes through the leads without a location, newest first, and fills in what is "
    "missing. Fails if the database cannot be used; the error says what to do. The "
    "metadata lists geolocation sources that are down or not configured.",
    out=dg.Out(description="The run's totals."),
)
def enrich(
    context: dg.OpExecutionContext, config: EnrichConfig, tracking: TrackingResource
) -> EnrichTotals:
    with tracking.open() as installation, installation.geo_providers() as providers:
        context.log.info(f"serving {installation.database.label}")
        not_configured = installation.missing_geo_settings()
        for name, what_to_set in not_configured.items():
            context.log.info(f"{name} is not configured: {what_to_set}")
        totals = asyncio.run(
            enrich_leads(
                installation.database.url,
                providers,
                config.request(installation.settings.default_country.upper()),
                progress=lambda so_far: context.log.info(_in_words(so_far)),
            )
        )
    for name, reason in totals.missing.items():
        if name not in not_configured:
            context.log.warning(f"{name} did not serve: {reason}")
    context.log.info(_in_words(totals))
    context.add_output_metadata(enrich_metadata(totals))
    return totals


def _in_words(totals: EnrichTotals) -> str:
    return (
        f"{totals.examined} examined, {totals.enriched} enriched, {totals.waiting} waiting "
        f"after {totals.seconds:.0f} s"
    )


def enrich_metadata(totals: EnrichTotals) -> dict[str, Any]:
    """The totals as typed metadata: every number under its own name, and tables for people."""
    numbers = (
        *("examined", "enriched", "skipped", "complete", "without_address", "waiting"),
        *("refused", "corrected", "asked_online"),
    )
    return {
        **table("by_source", _rows("source", "leads", totals.by_source)),
        **table("by_status", _rows("status", "leads", totals.by_status)),
        **table("not_configured", _rows("provider", "what to do", totals.missing)),
        **{name: getattr(totals, name) for name in numbers},
        **{f"from_{name}": totals.by_source.get(name, 0) for name in SOURCES},
        **{f"status_{name}": totals.by_status.get(name, 0) for name in STATUSES},
        "seconds": dg.MetadataValue.float(round(totals.seconds, 3)),
        "stopped_reason": totals.stopped_reason,
    }


def _rows(key: str, column: str, values: Mapping[str, int | str]) -> list[dict[str, int | str]]:
    return [{key: each, column: value} for each, value in values.items()]


@dg.job(
    description="Fills in missing cities, states, ZIP codes and countries of leads from their "
    "session or their IP address; what the person entered is kept. Launch it "
    "unchanged to process everything that is due. If a run fails, the database could "
    "not be used, and its error says what to do.",
    config=dg.RunConfig(ops={"enrich_leads": EnrichConfig()}),
    tags={GROUP_TAG: "enrich", **AGAIN_FROM_THE_START, **LONG_RUN, "dagster/max_runtime": "3900"},
)
def enrich_leads_job() -> None:
    enrich()


enrich_leads_schedule = every(
    "*/10 * * * *",
    enrich_leads_job,
    name="enrich_leads_schedule",
    description="Looks up leads without a location every 10 minutes: new ones, and those whose "
    "next lookup is due.",
)


@dg.sensor(
    job=enrich_leads_job,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Launches an enrichment run when there is a new lead that was never looked up. "
    "Repeated lookups, and leads that wait for a geolocation source, are left to the "
    "schedule. If a tick fails, the database could not be reached.",
)
def new_leads_sensor(
    context: dg.SensorEvaluationContext, tracking: TrackingResource
) -> dg.SensorResult | dg.SkipReason:
    with tracking.open() as installation, connect(installation.database.url) as connection:
        backlog = read_locate_backlog(connection)
    found = f"{backlog.new} new, {backlog.waiting} waiting"
    newest = str(backlog.newest)
    if backlog.new == 0:
        return dg.SkipReason(found)
    if newest == context.cursor:
        return dg.SkipReason(f"{found}; a run was launched for them, the schedule asks again")
    if is_under_way(context.instance, enrich_leads_job.name):
        return dg.SkipReason(f"{found}; an enrichment run is under way")
    context.log.info(found)
    return dg.SensorResult(run_requests=[dg.RunRequest()], cursor=newest)
