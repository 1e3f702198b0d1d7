"""What the page says about one reading: words, numbers and the order of what needs a human. Pure.

The templates only lay out what stands here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from tracking_pipeline.store.dagster_runs import PastRun
from tracking_pipeline.web.page import words
from tracking_pipeline.web.page.alerts_view import (
    AlertView,
    EndedAlert,
    Notice,
    ended_alerts,
    notices,
    open_alerts,
)
from tracking_pipeline.web.page.dead_letters_view import (
    DeadLettersView,
    Offer,
    dead_letters_view,
    offers,
)
from tracking_pipeline.web.page.letter_filter import LetterFilter
from tracking_pipeline.web.page.places_view import PlacesView, places_view
from tracking_pipeline.web.page.queue_view import QueueView, queue_view
from tracking_pipeline.web.page.reading import PageReading
from tracking_pipeline.web.page.score_view import ScoreView, score_view
from tracking_pipeline.web.page.standing_view import Figure, StatusView, figures_view, status_view
from tracking_pipeline.web.page.withheld_view import WithheldRow, withheld_view
from tracking_pipeline.web.page.words import Moment, moment


@dataclass(frozen=True, slots=True)
class RunView:
    """One run. ``job`` is the job's name in words; ``took`` is empty until its end."""

    job: str
    url: str
    state: str
    words: str
    started: Moment | None
    took: str


@dataclass(frozen=True, slots=True)
class PageView:
    """The whole page. ``places`` None: no check has counted leads. ``runs`` None: Dagster's storage
    cannot be read."""

    database: str
    rehearsal: bool
    made: Moment
    status: StatusView
    figures: Sequence[Figure]
    alerts: Sequence[AlertView]
    notices: Sequence[Notice]
    offers: Sequence[Offer]
    ended_alerts: Sequence[EndedAlert]
    score: ScoreView
    queue: QueueView
    dead_letters: DeadLettersView
    withheld: Sequence[WithheldRow]
    places: PlacesView | None
    runs: Sequence[RunView] | None
    dagster_url: str
    shows_db_ip: bool

    @property
    def needs_nobody(self) -> bool:
        """Whether there is nothing for a human to do."""
        return not self.needs and self.status.level == "healthy"

    @property
    def needs(self) -> int:
        """How many things wait for a human."""
        return len(self.alerts) + len(self.notices) + len(self.offers)


def page_view(
    reading: PageReading,
    runs: Sequence[PastRun] | None,
    chosen: LetterFilter,
    *,
    database: str,
    rehearsal: bool,
    dagster_url: str,
) -> PageView:
    """The page of this reading. ``chosen`` is what the dead letters were narrowed to."""
    now = reading.now
    whole = reading.check.whole if reading.check else {}
    return PageView(
        database=database,
        rehearsal=rehearsal,
        made=moment(now, now),
        status=status_view(reading),
        figures=figures_view(reading),
        alerts=open_alerts(reading.alerts, now),
        notices=notices(reading.destinations),
        offers=offers(reading.offers),
        ended_alerts=ended_alerts(reading.ended_alerts, now),
        score=score_view(reading.check, reading.course, now),
        queue=queue_view(reading.destinations, now),
        dead_letters=dead_letters_view(reading.dead_letters, reading.destinations, chosen, now),
        withheld=withheld_view(whole.get("withheld")),
        places=places_view(whole.get("geo_coverage")),
        runs=None if runs is None else [_run(each, now, dagster_url) for each in runs],
        dagster_url=dagster_url,
        shows_db_ip=reading.shows_db_ip,
    )


def _run(run: PastRun, now: datetime, dagster_url: str) -> RunView:
    started = (
        None
        if run.started_at is None
        else moment(datetime.fromtimestamp(run.started_at, timezone.utc), now)
    )
    return RunView(
        job=words.capital(run.job.removesuffix("_job").replace("_", " ")),
        url=f"{dagster_url}/runs/{run.run_id}",
        state=run.status,
        words=words.RUN_STATE_WORDS.get(run.status, run.status.capitalize()),
        started=started,
        took=_took(run.seconds),
    )


def _took(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return "under 1 s" if seconds < 1 else words.duration(seconds)
