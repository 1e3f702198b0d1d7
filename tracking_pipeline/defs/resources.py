"""The resources of the code location: how an op, sensor or schedule reaches the outside.

They hold no secret themselves: settings are read from the environment when a resource is used, so
that loading the definitions needs neither an environment nor a database.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import dagster as dg
from dagster._core.events import HandledOutputData
from pydantic import TypeAdapter

from tracking_pipeline.defs.instance.heartbeat import in_process_with_heartbeat
from tracking_pipeline.delivery.engine.totals import RetryTotals
from tracking_pipeline.errors import ExplainedError
from tracking_pipeline.settings import read_settings
from tracking_pipeline.wiring.installation import Installation, open_installation

# What one op hands to the next, kept in the log of the run.
#
# So a run can be executed again from any of its ops, by another process on another machine, and
# nothing has to be kept beside it: the log is where the run is, and goes when the run goes. It is
# for small values without personal data, such as a run's totals; an operator can read them there.
#
# What no other op takes up (most jobs are one op) is not kept: it is for whoever runs the job in
# his own process.

KEPT_IN_LOG = {"tracking/kept_in_log": True}
"""The metadata of an op's output that another op takes up."""

_LABEL = "handed_over"


class KeptInLog(dg.IOManager):
    """Keeps values of annotated types that pydantic can write as JSON and read again."""

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Writes it down where it is marked with :data:`KEPT_IN_LOG`."""
        if not KEPT_IN_LOG.keys() <= context.definition_metadata.keys():
            return
        written = TypeAdapter(type(obj)).dump_python(obj, mode="json")
        context.add_output_metadata({_LABEL: dg.MetadataValue.json(written)})

    def load_input(self, context: dg.InputContext) -> Any:
        """The value, of the run that made it: that may be the one whose re-execution this is."""
        upstream = context.upstream_output
        assert upstream is not None  # noqa: S101  only outputs of ops are kept here
        handed = context.instance.all_logs(
            upstream.run_id, of_type=dg.DagsterEventType.HANDLED_OUTPUT
        )
        for entry in reversed(handed):
            event = entry.get_dagster_event()
            data = event.event_specific_data
            assert isinstance(data, HandledOutputData)  # noqa: S101  what was asked for
            if (event.step_key, data.output_name) == (upstream.step_key, upstream.name):
                return TypeAdapter(context.dagster_type.typing_type).validate_python(
                    data.metadata[_LABEL].value
                )
        raise dg.Failure(
            f"what {upstream.step_key} handed over is not in the log of run {upstream.run_id} any "
            "more: launch the job anew",
            allow_retries=False,
        )


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


_RESOURCES: dict[str, object] = {
    "tracking": TrackingResource(),
    "progress": DrainProgress(),
    "io_manager": KeptInLog(),
}


def surroundings(overrides: Mapping[str, object] | None = None) -> dg.Definitions:
    """What every job runs with: the resources, some of them replaced, and the executor."""
    return dg.Definitions(
        resources={**_RESOURCES, **(overrides or {})}, executor=in_process_with_heartbeat
    )
