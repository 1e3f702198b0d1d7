"""Migrations and imports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from tracking_pipeline.console.terminal import out


def show_applied(found: Mapping[str, Any]) -> None:
    """The JSON of a migration."""
    for step in found["applied"]:
        out.print(f"  {step}")
    out.print("The tables are ready." if found["applied"] else "Nothing to do.")


def show_import(totals: Mapping[str, Any]) -> None:
    """The JSON of an import, and its problems by line."""
    out.print(
        f"{totals['imported']} imported, {totals['skipped']} there already, "
        f"{totals['rejected']} rejected"
    )
    for problem in totals["problems"]:
        out.print(Text(f"  line {problem['line']}: {problem['message']}", style="yellow"))
    if totals["rejected"] > len(totals["problems"]):
        out.print(f"  and {totals['rejected'] - len(totals['problems'])} more")
    if totals["ignored_columns"]:
        out.print(Text(f"ignored columns: {', '.join(totals['ignored_columns'])}"))
