"""Runs faults by seeds, and tells which invariant held under which fault."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tracking_pipeline_tests.chaos.faults import NAMES, Fault
from tracking_pipeline_tests.chaos.history import History
from tracking_pipeline_tests.chaos.invariants import INVARIANTS
from tracking_pipeline_tests.chaos.nursery import Nursery
from tracking_pipeline_tests.chaos.scene import scene
from tracking_pipeline_tests.servers import TestServer

Verdict = Literal["holds", "does not apply", "BROKEN"]
MARKS: Mapping[Verdict, str] = {"holds": "✓", "does not apply": "·", "BROKEN": "**BROKEN**"}


@dataclass(frozen=True)
class Cell:
    """One fault under one seed: the violations of each invariant, None where it does not apply."""

    fault: Fault
    seed: int
    seconds: float
    violations: Mapping[str, list[str] | None] = field(default_factory=dict)
    failed: str = ""

    @property
    def broken(self) -> list[str]:
        found = [f"{self.failed}"] if self.failed else []
        return found + [
            f"{number}: {line}" for number, lines in self.violations.items() for line in lines or ()
        ]


def check(history: History) -> dict[str, list[str] | None]:
    """The violations of every invariant, by its number."""
    return {each.number: each.violations(history) for each in INVARIANTS}


@dataclass(frozen=True)
class Grounds:
    """What scenarios need: a server, the name of a migrated database to copy, a nursery of workers,
    a folder."""

    server: TestServer
    template: str
    nursery: Nursery
    folder: Path


def run_cell(grounds: Grounds, fault: Fault, seed: int) -> Cell:
    """One scenario from an empty database to the verdict."""
    began = time.monotonic()
    dice = random.Random(f"{seed} {fault.label}")
    with scene(grounds.server, grounds.template, grounds.nursery, dice, grounds.folder) as stage:
        try:
            fault.strike(stage)
            stage.all_well()
            stage.drain()
        except Exception as error:  # a scenario that cannot be played is a finding, too
            failed = f"{type(error).__name__}: {error}"
            return Cell(fault, seed, time.monotonic() - began, failed=failed)
        return Cell(fault, seed, time.monotonic() - began, check(stage.history()))


def verdicts(cells: Iterable[Cell]) -> dict[str, dict[str, Verdict]]:
    """The verdict on each invariant under each of the sixteen faults, all forms and seeds taken
    together: broken in one is broken."""
    found: dict[str, dict[str, Verdict]] = {}
    for cell in cells:
        row = found.setdefault(cell.fault.number, {})
        for each in INVARIANTS:
            lines = cell.violations.get(each.number)
            before = row.get(each.number, "does not apply")
            if lines or (cell.failed and each.number == "I1"):
                row[each.number] = "BROKEN"
            elif lines is not None and before == "does not apply":
                row[each.number] = "holds"
            else:
                row[each.number] = before
    return found


def as_markdown(cells: Sequence[Cell]) -> str:
    """The table of faults and invariants, its legend, and every violation."""
    seeds = sorted({cell.seed for cell in cells})
    numbers = [each.number for each in INVARIANTS]
    lines = [
        "# Which promise holds under which fault",
        "",
        "What `make chaos` found: "
        f"{len(cells)} scenarios, seeds {', '.join(map(str, seeds))}, "
        f"{sum(cell.seconds for cell in cells):.0f} s.",
        "",
        f"| fault | {' | '.join(numbers)} |",
        f"|---|{'---|' * len(numbers)}",
    ]
    for fault, row in verdicts(cells).items():
        marks = " | ".join(MARKS[row[number]] for number in numbers)
        lines.append(f"| {fault} {NAMES[fault]} | {marks} |")
    lines += ["", f"{MARKS['holds']} holds, {MARKS['does not apply']} does not apply.", ""]
    lines += [f"- {each.number}: {each.says}" for each in INVARIANTS]
    broken = [(cell, line) for cell in cells for line in cell.broken]
    if broken:
        lines += ["", "Broken:", ""]
        lines += [f"- {cell.fault.label} (seed {cell.seed}): {line}" for cell, line in broken]
    return "\n".join(lines) + "\n"
