"""The page "Failures", made of the catalogue and of each platform's table of codes.

python -m tracking_pipeline.delivery.describe > docs/failures.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from tracking_pipeline.delivery.destinations import http_answers
from tracking_pipeline.delivery.destinations.codes import Codes
from tracking_pipeline.delivery.destinations.registry import REGISTRY
from tracking_pipeline.delivery.failures import DOES, Failure


def tables() -> dict[str, Codes]:
    """Every table of codes, by whose it is."""
    found = {spec.title: spec.implementation().codes for spec in REGISTRY}
    return {**found, "An answer without a platform's own words": http_answers.CODES}


_INTRODUCTION = """\
# Failures

Every failure that the pipeline can tell has a public code, which never changes. `status`, the
health page, alerts, `explain` and the columns `failure_code` of `tracking_delivery_attempts` and
`tracking_failed_events` show it. This page is made from the pipeline's own tables; `make docs`
writes it anew.

What becomes of an event:
"""


def page() -> str:
    """The page as Markdown."""
    return "\n".join(_lines()).rstrip("\n") + "\n"


def _lines() -> Iterator[str]:
    yield _INTRODUCTION
    for outcome, does in DOES.items():
        yield f"- **{outcome}**: {does}"
    yield "\n## By code\n"
    for failure in Failure:
        yield f"### {failure.code}\n"
        yield f"{failure.title[:1].upper()}{failure.title[1:]} (**{failure.outcome}**).\n"
        yield f"- Cause: {failure.cause}"
        yield f"- Remedy: {failure.remedy}"
        for title, codes in tables().items():
            if led := _leading_to(failure, codes):
                yield f"- {title}: {led}"
        yield ""
    yield "## By platform\n"
    for title, codes in tables().items():
        yield f"### {title}\n"
        yield "| code | outcome | failure | source |"
        yield "|---|---|---|---|"
        rows: dict[tuple[Failure, str], list[str]] = {}
        for code, each in codes.table.items():
            rows.setdefault((each.failure, each.source), []).append(code)
        for (failure, source), named in rows.items():
            yield f"| {_shown(named)} | {failure.outcome} | {failure.code} | {source} |"
        for outcome, failure in codes.otherwise.items():
            yield f"| any other | {outcome} | {failure.code} | |"
        yield ""


def _leading_to(failure: Failure, codes: Codes) -> str:
    named = [code for code, each in codes.table.items() if each.failure is failure]
    others = ["any other"] if failure in codes.otherwise.values() else []
    return ", ".join(filter(None, (_shown(named), *others)))


def _shown(codes: list[str]) -> str:
    """The codes, with a run of numbers as its first and its last."""
    runs: list[list[str]] = []
    for code in codes:
        follows = runs and code.isdecimal() and runs[-1][-1].isdecimal()
        if follows and int(code) == int(runs[-1][-1]) + 1:
            runs[-1].append(code)
        else:
            runs.append([code])
    parts = [f"`{run[0]}` to `{run[-1]}`" if len(run) > 2 else _code(run) for run in runs]
    return ", ".join(parts)


def _code(codes: list[str]) -> str:
    return ", ".join(f"`{code}`" for code in codes)


if __name__ == "__main__":
    sys.stdout.write(page())
