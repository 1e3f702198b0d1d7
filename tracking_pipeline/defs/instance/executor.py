"""How a run executes: in its own process, one op after the other, with a heartbeat beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import dagster as dg

from tracking_pipeline.defs.instance.heartbeat import heartbeat

if TYPE_CHECKING:
    from dagster._core.execution.context.system import PlanOrchestrationContext
    from dagster._core.execution.plan.plan import ExecutionPlan
    from dagster._core.execution.retries import RetryMode
    from dagster._core.execution.step_dependency_config import StepDependencyConfig


class ExecutorWithHeartbeat(dg.Executor):
    """Another executor, with a heartbeat of the run for as long as it executes."""

    def __init__(self, inner: dg.Executor) -> None:
        self._inner = inner

    @property
    def retries(self) -> RetryMode:
        return self._inner.retries

    @property
    def step_dependency_config(self) -> StepDependencyConfig:
        return self._inner.step_dependency_config

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        with heartbeat(plan_context.instance, plan_context.run_id):
            yield from self._inner.execute(plan_context, execution_plan)


def _create(context: dg.InitExecutorContext) -> dg.Executor:
    create = dg.in_process_executor.executor_creation_fn
    assert create is not None  # noqa: S101  Dagster's own has one
    return ExecutorWithHeartbeat(create(context))


# Its name and configuration are Dagster's: a launchpad's "execution" stays as it was.
in_process_with_heartbeat = dg.ExecutorDefinition(
    name=dg.in_process_executor.name,
    config_schema=cast("Any", dg.in_process_executor.config_schema),
    executor_creation_fn=_create,
    description="Executes a run in one process, one op after the other: a run drains in one event "
    "loop, and a process for each op would cost two seconds each.",
)
