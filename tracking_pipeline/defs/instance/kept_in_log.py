"""What one op hands to the next, kept in the log of the run.

So a run can be executed again from any of its ops, by another process on another machine, and
nothing has to be kept beside it: the log is where the run is, and goes when the run goes. It is for
small values without personal data, such as a run's totals; an operator can read them there.

What no other op takes up (most jobs are one op) is not kept: it is for whoever runs the job in his
own process.
"""

from __future__ import annotations

from typing import Any

import dagster as dg
from dagster._core.events import HandledOutputData
from pydantic import TypeAdapter

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
