"""The resources of the code location: how an op, sensor or schedule reaches the outside.

They hold no secret themselves: settings are read from the environment when a resource is used, so
that loading the definitions needs neither an environment nor a database.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import dagster as dg

from tracking_pipeline.defs.instance.kept_in_log import KeptInLog
from tracking_pipeline.delivery.engine.totals import RetryTotals
from tracking_pipeline.errors import ExplainedError
from tracking_pipeline.settings import read_settings
from tracking_pipeline.wiring.installation import Installation, open_installation


class TrackingResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The business database and the destinations that serve it."""

    rehearsal: Literal["auto", "yes", "no"] = "auto"

    @contextmanager
    def open(self) -> Iterator[Installation]:
        """The installation, for the time of the block. An :class:`ExplainedError`, of its opening
        or of the block, is a ``Failure`` whose description tells the operator what to do."""
        rehearsal = {"auto": None, "yes": True, "no": False}[self.rehearsal]
        try:
            with open_installation(read_settings(), rehearsal=rehearsal) as installation:
                yield installation
        except ExplainedError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None


class DrainProgress:
    """Tells how a long drain goes, in the run's log. The command line puts a progress bar here."""

    def begin(self, log: dg.DagsterLogManager, total: int) -> None:
        """A drain of about ``total`` events begins."""
        log.info(f"{total} events to take")

    def report(self, log: dg.DagsterLogManager, totals: RetryTotals) -> None:
        """It has come this far; called every few seconds."""
        log.info(
            f"{totals.total('resolved')} resolved, {totals.total('failed')} failed, "
            f"{totals.total('dead_lettered')} dead-lettered, {totals.total('withheld')} withheld "
            f"after {totals.seconds:.0f} s"
        )


default_resources: dict[str, object] = {
    "tracking": TrackingResource(),
    "progress": DrainProgress(),
    "io_manager": KeptInLog(),
}
