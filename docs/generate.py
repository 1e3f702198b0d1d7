"""The pages of ``docs/reference/`` and the README's table of destinations, made from the code.

``make docs`` writes them, and a test compares, so that none of them can be out of date.

python -m docs.generate
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageMetadata, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import psycopg
import typer
from fastapi import FastAPI
from packaging.requirements import Requirement
from pydantic import SecretStr

from docs.filled import failures_page, table, with_tables
from docs.tables import COLUMNS, TABLES
from tracking_pipeline import settings as settings_module
from tracking_pipeline.cli.app import app as command_line
from tracking_pipeline.definitions import defs
from tracking_pipeline.delivery.destinations.registry import REGISTRY, DestinationSpec
from tracking_pipeline.health.check import record_reading, take_reading
from tracking_pipeline.health.metrics import METRICS, AlertSpec, alert_specs
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.migrate import migrate
from tracking_pipeline.web import metrics as exported
from tracking_pipeline.web.answers import ERRORS
from tracking_pipeline.web.app import ROUTERS
from tracking_pipeline.web.attempt_counters import AttemptCounters
from tracking_pipeline.wiring.health import health_config
from tracking_pipeline_tests.servers import find_server_binaries, reachable_folder, start_server

DOCS = Path(__file__).parent
ROOT = DOCS.parent
MADE = "*This page is generated from the code by `make docs`.*"

# Each setting belongs to the first group of which one prefix fits.
GROUPS = {
    "Database and home": ("tracking_", "dagster_postgres_"),
    "How events are read": (
        *("site_", "default_country", "external_id", "consent_", "denied_", "global_privacy"),
        *("future_events", "geo_match_keys"),
    ),
    "Places": ("geo_", "ip_", "ipinfo_"),
    "Match quality": ("emq_",),
    "Thresholds": (
        *("failed_events_", "error_rate_", "dead_letters_", "health_", "conversion_"),
        *("delivery_rate_", "order_window", "once_an_order"),
    ),
    "Alerts": ("alert_", "dead_mans_switch", "weekly_digest"),
    "Operation": (
        *("retry_workers", "replay_", "snapshot_", "run_retention", "attempt_", "rollup_"),
        *("notification_", "lead_value", "dagster_ui"),
    ),
    "HTTP": (
        *("admin_api", "supabase_jw", "intake_", "cors_", "trusted_", "log_event_", "max_body"),
    ),
}
# What every destination has under its own prefix.
COMMON = {
    "requests_per_second": "Maximum requests per second. Unset: no limit.",
    "requests_in_flight": "Maximum requests in flight. Unset: the destination's own default.",
    "retry_horizon_hours": "Number of hours after its row's `created_at` for which an event is "
    "still retried when its five retries are used up. Unset: none.",
}


def pages(database_url: str) -> dict[Path, str]:
    """Every page that is made, with its text. ``database_url``: an empty migrated database, in
    which one health check is made."""
    return {
        DOCS / "reference/settings.md": settings_page(),
        DOCS / "reference/commands.md": commands_page(),
        DOCS / "reference/http.md": http_page(),
        DOCS / "reference/tables.md": tables_page(database_url),
        DOCS / "reference/metrics.md": metrics_page(database_url),
        DOCS / "reference/alerts.md": alerts_page(),
        DOCS / "reference/dagster.md": dagster_page(),
        DOCS / "decisions/README.md": decisions_page(),
        DOCS / "failures.md": failures_page(),
        **{
            path: with_tables(path)
            for path in (
                DOCS / "how-to/destinations.md",
                DOCS / "what-we-read.md",
                DOCS / "identity-differences.md",
                ROOT / "README.md",
            )
        },
    }


# --- settings ---


def descriptions() -> dict[str, str]:
    """What the string under each field of the settings says."""
    (body,) = (
        each.body
        for each in ast.parse(Path(settings_module.__file__).read_text(encoding="utf-8")).body
        if isinstance(each, ast.ClassDef) and each.name == Settings.__name__
    )
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def grouped_settings() -> dict[str, list[str]]:
    """The fields that have a row of their own, by the heading under which they stand."""
    own = {spec.title: (f"{spec.settings.lower()}_",) for spec in REGISTRY}
    groups: dict[str, list[str]] = {title: [] for title in (*GROUPS, *own)}
    for name in Settings.model_fields:
        if name not in _common_settings():
            fitting = (
                title for title, prefixes in {**GROUPS, **own}.items() if name.startswith(prefixes)
            )
            groups[next(fitting)].append(name)
    return {title: names for title, names in groups.items() if names}


def _common_settings() -> set[str]:
    return {spec.variable(name).lower() for spec in REGISTRY for name in COMMON}


def settings_page() -> str:
    described = descriptions()
    lines = [
        "# Settings",
        MADE,
        "Settings are environment variables, or lines `NAME=value` in a file `.env` next to "
        "`workspace.yaml` (if there is none: in the current folder). Environment variables take "
        "precedence. An invalid value is an error that names the variable, and a name that looks "
        "misspelt is a warning. **Secrets** never appear in logs, errors, run metadata or tables, "
        "and in a URL only if this page says so.",
    ]
    for title, names in grouped_settings().items():
        lines += [
            f"## {title}",
            table(
                ("variable", "meaning", "default"),
                (
                    (
                        f"`{name.upper()}`",
                        described[name] + (" **Secret.**" if _is_secret(name) else ""),
                        _default(name),
                    )
                    for name in names
                ),
            ),
        ]
    lines += [
        "## Every destination",
        "\n".join(f"- `..._{name.upper()}`: {text}" for name, text in COMMON.items()),
        "All runs, processes and machines together keep the limits. A horizon cannot exceed the "
        "destination's age limit.",
        table(
            ("prefix", *(f"`_{name.upper()}`" for name in COMMON)),
            (
                (f"`{spec.settings}`", *(_common_default(spec, name) for name in COMMON))
                for spec in REGISTRY
            ),
        ),
    ]
    return _page(lines)


def _common_default(spec: DestinationSpec, name: str) -> str:
    field = spec.variable(name).lower()
    return (_default(field) or "unset") if field in Settings.model_fields else "none"


def _default(name: str) -> str:
    value = Settings.model_fields[name].get_default(call_default_factory=True)
    if value is None or value in ((), {}):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _is_secret(name: str) -> bool:
    field = Settings.model_fields[name]
    return SecretStr.__name__ in f"{field.annotation} {field.metadata}"


# --- commands ---


def commands_page() -> str:
    lines = [
        "# Commands",
        MADE,
        "The commands come with the package (`make demo` installs it into `.venv`). With "
        "`--json`, a command prints one JSON object to standard output and everything else to "
        "standard error.",
        "`retry`, `enrich`, `check`, `heal`, `replay`, `backfill`, `prune` and "
        "`test-destinations` run the same Dagster jobs as the UI. Their runs appear there too, "
        "and can be executed again. `status` and `explain` only read: if there are no tables yet, "
        "they say so and create nothing. `--rehearsal` works on [the rehearsal "
        "database](../explanation/rehearsal.md).",
        table(
            ("exit status", "meaning"),
            (
                ("0", "done, even if events failed again or a destination is paused"),
                ("1", "the work failed"),
                ("2", "wrong usage: an invalid option, setting or file"),
                ("130", "interrupted"),
            ),
        ),
    ]
    for name, command in commands(typer.main.get_command(command_line)):
        context = command.context_class(command, info_name=f"tracking-pipeline {name}")
        usage = " ".join(command.collect_usage_pieces(context))
        lines += [
            f"## {name}",
            f"`tracking-pipeline {name} {usage}`",
            " ".join(command.help.split()),
        ]
        rows = [
            (f"`{_shorter(record[0])}`", _text(record[1]))
            for parameter in command.get_params(context)
            if (record := parameter.get_help_record(context)) and "--help" not in record[0]
        ]
        if rows:
            lines.append(table(("option", "meaning"), rows))
    return _page(lines)


def commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its name, such as ``geo update``."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def _shorter(usage: str) -> str:
    """Without the list of all destinations, which the registry's own page has."""
    return usage.replace("|".join(spec.name for spec in REGISTRY), "DESTINATION")


# --- HTTP ---


_SHARED_ANSWERS = {"Successful Response", *(each["description"] for each in ERRORS.values())}


def http_page() -> str:
    app = FastAPI()
    for router in ROUTERS:
        app.include_router(router)
    api = app.openapi()
    lines = [
        "# HTTP endpoints",
        MADE,
        "`tracking-pipeline serve` listens on <http://127.0.0.1:8000>. The health page is at `/`, "
        "and this list with all shapes at `/docs` and `/openapi.json`. An admin sends "
        "`ADMIN_API_TOKEN`, or the access token of a Supabase user with the role `admin`, as "
        "`Authorization: Bearer`. A site sends `INTAKE_KEY` as `x-api-key` or `apikey`.",
        'An error is `{"success": false, "error": "..."}`. Any endpoint may answer:',
        "\n".join(f"- {code}: {each['description']}" for code, each in ERRORS.items()),
    ]
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            lines.append(f"## {method.upper()} {path}")
            lines.append(f"Access: {_access(operation)}.")
            lines.append(_text(operation.get("description", operation["summary"])))
            fields = [
                (f"`{each['name']}` ({each['in']})", _text(each.get("description", "")))
                for each in operation.get("parameters", ())
            ]
            fields += [(f"`{name}` (body)", text) for name, text in _body(api, operation)]
            if fields:
                lines.append(table(("parameter", "meaning"), fields))
            own = [
                f"- {code}: {_text(answer['description'])}"
                for code, answer in sorted(operation["responses"].items())
                if answer["description"] not in _SHARED_ANSWERS
            ]
            if own:
                lines.append("\n".join(own))
    return _page(lines)


def _access(operation: dict[str, Any]) -> str:
    if "intake" in operation["tags"]:
        return "`INTAKE_KEY`"
    if operation.get("security"):
        return "admin" + (
            "; without a token, this machine" if "monitoring" in operation["tags"] else ""
        )
    return "everybody"


def _body(api: dict[str, Any], operation: dict[str, Any]) -> Iterator[tuple[str, str]]:
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    for each in (schema, *schema.get("anyOf", ())):
        named = each.get("$ref", "").rpartition("/")[2]
        if named:
            for name, about in api["components"]["schemas"][named].get("properties", {}).items():
                yield name, _text(about.get("description", ""))


# --- tables ---


_CATALOG = """
        select relation.relname, attribute.attname,
               format_type(attribute.atttypid, attribute.atttypmod), attribute.attnotnull,
               coalesce(pg_get_expr(value.adbin, value.adrelid), '')
        from pg_class relation
        join pg_attribute attribute
            on attribute.attrelid = relation.oid and attnum > 0 and not attisdropped
        left join pg_attrdef value
            on value.adrelid = relation.oid and value.adnum = attribute.attnum
        where relation.relnamespace = 'public'::regnamespace and relation.relkind = 'r'
        order by relation.relname, attribute.attnum
"""


def tables_page(database_url: str) -> str:
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(_CATALOG).fetchall()
    lines = [
        "# Tables",
        MADE,
        "`tracking-pipeline migrate` creates them in the schema `public`, or adopts `leads`, "
        "`wm_event_log`, `tracking_failed_events` and `tracking_health_alerts` if they exist; it "
        "only adds. For adopted tables, this page shows the columns that the pipeline needs or "
        "adds. Names and types never change.",
    ]
    for name in dict.fromkeys(row[0] for row in rows):
        lines += [
            f"## {name}",
            TABLES[name],
            table(
                ("column", "type", "meaning"),
                (
                    (f"`{column}`", _type(kind, not_null, default), _meaning(name, column))
                    for owner, column, kind, not_null, default in rows
                    if owner == name
                ),
            ),
        ]
    return _page(lines)


def _type(kind: str, not_null: bool, default: str) -> str:
    short = kind.replace("timestamp with time zone", "timestamptz").replace("character ", "")
    told = re.sub(r"::\w+(\[\])?", "", default)
    return f"{short}{', not null' if not_null else ''}{f', `{told}`' if told else ''}"


def _meaning(table: str, column: str) -> str:
    return COLUMNS[f"{table}.{column}" if f"{table}.{column}" in COLUMNS else column]


# --- Prometheus metrics ---


def metrics_page(database_url: str) -> str:
    config = health_config(Settings.model_construct())
    record_reading(database_url, take_reading(database_url, config))
    with psycopg.connect(database_url, autocommit=True) as connection:
        scrape = exported._read(connection, config, AttemptCounters(), {})
    families = {family.name: family for family in scrape.collect()}
    rows = [
        (
            f"`{name}{'_total' if family.type == 'counter' else ''}`",
            family.type,
            ", ".join(f"`{label}`" for label in getattr(family, "_labelnames", ())),
            _text(family.documentation),
        )
        for name, family in families.items()
    ]
    rows += [
        (f"`{spec.export[0]}`", "gauge", "", f"{spec.export[1]} As of the last check.")
        for spec in METRICS.values()
        if spec.export and spec.export[0] not in families
    ]
    return _page(
        [
            "# Prometheus metrics",
            MADE,
            "`GET /metrics` serves them. Values without data are absent, so that no rule mistakes "
            "them for 0. Queries and alerting: [how to build a dashboard](../how-to/dashboard.md).",
            table(("metric", "type", "labels", "meaning"), sorted(rows)),
        ]
    )


# --- alert types ---


def alerts_page() -> str:
    lines = [
        "# Alert types",
        MADE,
        "`tracking_health_alerts` holds at most one open alert of each type. Beyond the warning "
        "threshold its severity is `warning`, beyond the critical one `critical`. What to do "
        "about each: [the runbooks](../operations.md#runbooks). Its fields and messages: [how "
        "alerts work](../explanation/health.md).",
        table(
            ("`alert_type`", "means", "warning", "critical", "asset check"),
            (
                (
                    f"[`{alert.type}`](../operations.md#{alert.type})",
                    alert.title,
                    _threshold(alert, "warning"),
                    _threshold(alert, "critical"),
                    f"`{metric.check.asset}`: `{metric.check.name}`" if metric.check else "",
                )
                for metric, alert in sorted(alert_specs(), key=lambda each: each[1].rank)
            ),
        ),
    ]
    return _page(lines)


def _threshold(alert: AlertSpec, severity: str) -> str:
    if alert.setting:
        name = f"{alert.setting}_{severity}"
        return f"{alert.direction} `{name.upper()}` ({_default(name.lower())})"
    value = getattr(alert, severity)
    return "" if value is None else f"{alert.direction} {value:g}"


# --- Dagster ---


def dagster_page() -> str:
    repository = defs.get_repository_def()
    jobs = [each for each in repository.get_all_jobs() if not each.name.startswith("__")]
    assets = sorted(defs.resolve_all_asset_specs(), key=lambda each: each.key.to_user_string())
    checks = sorted(
        (
            repository.asset_graph.get_check_spec(key)
            for key in repository.asset_graph.asset_check_keys
        ),
        key=lambda each: each.key.to_user_string(),
    )
    schedules = sorted(repository.schedule_defs, key=lambda each: each.name)
    sensors = sorted(repository.sensor_defs, key=lambda each: each.name)
    return _page(
        [
            "# Jobs, schedules, sensors and assets",
            MADE,
            "The code location is `tracking_pipeline`. Everything is on by default unless its "
            "text says that it is off. Each job can be launched without changing its "
            "configuration.",
            "## Jobs",
            table(
                ("job", "does"),
                (
                    (f"`{each.name}`", _text(each.description))
                    for each in sorted(jobs, key=lambda each: each.name)
                ),
            ),
            "## Schedules",
            table(
                ("schedule", "cron", "does"),
                (
                    (f"`{each.name}`", f"`{each.cron_schedule}`", _text(each.description))
                    for each in schedules
                ),
            ),
            "## Sensors",
            table(
                ("sensor", "looks every", "does"),
                (
                    (
                        f"`{each.name}`",
                        f"{each.minimum_interval_seconds} s",
                        _text(each.description),
                    )
                    for each in sensors
                ),
            ),
            "## Assets",
            table(
                ("asset", "shows"),
                ((f"`{each.key.to_user_string()}`", _text(each.description)) for each in assets),
            ),
            "## Asset checks",
            table(
                ("asset", "check", "asks"),
                (
                    (
                        f"`{each.asset_key.to_user_string()}`",
                        f"`{each.name}`",
                        _text(each.description),
                    )
                    for each in checks
                ),
            ),
        ]
    )


# --- decisions ---


def decisions_page() -> str:
    lines = []
    for file in sorted((DOCS / "decisions").glob("[0-9]*.md")):
        title = file.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
        number, _, about = title.partition(". ")
        lines.append(f"| {number} | [{about}]({file.name}) |")
    return _page(
        [
            "# Decisions",
            MADE,
            "One record for each decision that somebody may question: the question, the choice, "
            "its cost, and what would change it.",
            "\n".join(["| | decision |", "|---|---|", *lines]),
        ]
    )


# --- licences ---


def licences() -> dict[str, str]:
    """The licence of each package that a run needs here, as its metadata names it."""
    found: dict[str, str] = {}
    _collect(Requirement("tracking-pipeline[google,celery]"), found)
    del found["tracking-pipeline"]
    return found


def _collect(wanted: Requirement, found: dict[str, str], seen: set[str] | None = None) -> None:
    seen = set() if seen is None else seen
    if str(wanted) in seen:
        return
    seen.add(str(wanted))
    try:
        package = distribution(wanted.name)
    except PackageNotFoundError:  # of an extra that is not installed
        return
    found[wanted.name.lower().replace("_", "-")] = _licence(package.metadata)
    for requirement in map(Requirement, package.requires or ()):
        extras = wanted.extras or {""}
        if not requirement.marker or any(
            requirement.marker.evaluate({"extra": extra}) for extra in extras
        ):
            _collect(Requirement(_name_and_extras(requirement)), found, seen)


def _name_and_extras(requirement: Requirement) -> str:
    return f"{requirement.name}[{','.join(sorted(requirement.extras))}]"


def _licence(metadata: PackageMetadata) -> str:
    classified = "; ".join(
        each.rpartition(" :: ")[2]
        for each in metadata.get_all("Classifier") or ()
        if each.startswith("License ::")
    )
    named, written = (
        (metadata.get_all(name) or [""])[0] for name in ("License-Expression", "License")
    )
    # Some write the whole text there.
    return named or classified or (written if len(written) < 40 else "see its LICENSE file")


def licences_page() -> str:
    return _page(
        [
            "# Licences of dependencies",
            MADE,
            "The project is under Apache 2.0. It contains none of these packages; `pip` installs "
            "them. Those under the LGPL and the MPL are used as libraries, unchanged.",
            table(
                ("package", "licence"),
                ((f"`{name}`", licence) for name, licence in sorted(licences().items())),
            ),
        ]
    )


# --- Markdown ---


def _page(blocks: Iterable[str]) -> str:
    return "\n\n".join(blocks) + "\n"


def _text(text: str | None) -> str:
    """On one line, and with names in capitals and of code as code."""
    words = " ".join((text or "").split())
    return re.sub(
        r"(?<![`\w/])((?:[A-Z0-9]+_)+[A-Z0-9]+|(?:[a-z]+_)+[a-z]+(?:_job)?)(?![`\w])",
        r"`\1`",
        words,
    )


def main() -> None:
    binaries = find_server_binaries()
    server = start_server(binaries[max(binaries)], reachable_folder())
    try:
        url = server.create_database("docs")
        migrate(url)
        # Which packages there are depends on the Python: the test is less strict with this page.
        made = {**pages(url), DOCS / "reference/licences.md": licences_page()}
        for path, text in made.items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    finally:
        server.stop()


if __name__ == "__main__":
    main()
