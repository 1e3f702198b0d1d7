"""What the benchmark found: figures with their bounds, the machine they belong to, and how both are
shown."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import psutil

Unit = Literal["events/s", "leads/s", "x", "MB", "ms"]
_SHAPES: dict[Unit, str] = {
    "events/s": "{:,.0f}",
    "leads/s": "{:,.0f}",
    "x": "{:,.2f}",
    "MB": "{:,.0f}",
    "ms": "{:,.1f}",
}


@dataclass(frozen=True)
class Figure:
    """One figure. ``x`` is a ratio; a bound that is None is not asked for."""

    destination: str
    what: str
    value: float
    unit: Unit
    at_least: float | None = None
    at_most: float | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether it keeps its bounds; None where it has none."""
        if self.at_least is None and self.at_most is None:
            return None
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "is_met": self.is_met}


@dataclass(frozen=True)
class Machine:
    """Where the figures were taken: without it they mean nothing."""

    cores: int
    memory_gb: int
    system: str
    python: str
    postgresql: str
    pgqueuer: str | None


def this_machine(postgresql: str, pgqueuer: str | None) -> Machine:
    return Machine(
        cores=os.cpu_count() or 1,
        memory_gb=round(psutil.virtual_memory().total / 2**30),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        postgresql=postgresql,
        pgqueuer=pgqueuer,
    )


def table(machine: Machine, figures: Iterable[Figure]) -> str:
    """The machine and a line for each figure, as Markdown."""
    lines = [
        f"{machine.cores} cores, {machine.memory_gb} GB, {machine.system}, "
        f"Python {machine.python}, PostgreSQL {machine.postgresql}, "
        f"PgQueuer {machine.pgqueuer or 'not installed'}",
        "",
        "| destination | what | figure | bound | met |",
        "|---|---|---:|---|---|",
        *map(row, figures),
    ]
    return "\n".join(lines)


def row(figure: Figure) -> str:
    """One line of the table."""
    cells = (
        figure.destination,
        figure.what,
        _written(figure.value, figure.unit),
        _bound(figure),
        _verdict(figure.is_met),
    )
    return f"| {' | '.join(cells)} |"


def _written(value: float, unit: Unit) -> str:
    return f"{_SHAPES[unit].format(value)} {unit}"


def _bound(figure: Figure) -> str:
    bounds = (("at least", figure.at_least), ("at most", figure.at_most))
    return ", ".join(f"{word} {value:.3g}" for word, value in bounds if value is not None)


def _verdict(is_met: bool | None) -> str:
    return "" if is_met is None else "yes" if is_met else "NO"
