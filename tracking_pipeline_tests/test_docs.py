"""The documentation says what is so: its reference is the code's, its links lead somewhere, and its
examples do what they say.

A block ``sh`` is executed; one ``text`` is not, because it needs an account or a network, or never
ends. All blocks of one page are one script, in an empty folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from urllib.parse import unquote

import psycopg
import pytest
import yaml
from typer.main import get_command

from docs.generate import COMMON, DOCS, ROOT, commands, descriptions, licences, pages
from tracking_pipeline.cli.app import app
from tracking_pipeline.cli.entry import main
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.sandbox.sample import load_sample
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.rehearsal import mark_rehearsal
from tracking_pipeline_tests.chaos.faults import NAMES
from tracking_pipeline_tests.chaos.invariants import INVARIANTS
from tracking_pipeline_tests.servers import TestServer
from tracking_pipeline_tests.web.serving import ADMIN_TOKEN, serving

Run = Callable[..., str]

ADA, GRACE = "ada@example.com", "grace@example.com"
MARKDOWN = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("benchmarks/*.md")])
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"")


def blocks(page: Path, language: str) -> list[str]:
    """What stands in the fences of this language."""
    return [
        re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)
        for indent, fenced, text in _FENCE.findall(page.read_text(encoding="utf-8"))
        if fenced == language
    ]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


# --- the reference ---


def test_the_reference_is_made_of_the_code(database_url: str) -> None:
    made = pages(database_url)
    stale = [
        named(path)
        for path, text in made.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    assert not stale, "make docs writes them anew"


def test_every_setting_is_described_below_it() -> None:
    own = {name for name in Settings.model_fields if not name.endswith(tuple(COMMON))}
    assert own <= descriptions().keys()


def test_the_licence_of_every_dependency_is_listed() -> None:
    page = (DOCS / "reference/licences.md").read_text(encoding="utf-8")
    assert [name for name in licences() if f"| `{name}` |" not in page] == []


def test_ci_audits_every_lock_file() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]
    script = jobs["audit"]["steps"][-1]["run"]
    assert "pip-audit --strict" in script
    locks = [ROOT / "requirements.lock", *ROOT.glob("[a-z]*/requirements.lock")]
    assert {named(lock) for lock in locks} == set(re.findall(r"[\w/]*requirements\.lock", script))


def test_the_readme_is_read_in_five_minutes() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


def test_the_changelog_tells_of_this_version() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {version('tracking-pipeline')}\n" in changes


def numbers_of(page: Path, row: str) -> list[str]:
    """The figures in the first row of a page's tables that begins so."""
    line = re.search(rf"^\| {re.escape(row)}.*$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert line, row
    return re.findall(r"[\d,]*\d(?:\.\d+)?", line.group().partition("|")[2].partition("|")[2])


@pytest.mark.parametrize("row", ["`meta_capi`, 1,000", "`google_ec`, 2,000", "`gtm_server`, one"])
def test_the_readmes_figures_are_those_of_the_page(row: str) -> None:
    speed = DOCS / "speed.md"
    assert set(numbers_of(ROOT / "README.md", row)) <= {
        *numbers_of(speed, row),
        *re.findall(r"`gtm_server`.* reaches ([\d.]+)", speed.read_text(encoding="utf-8")),
    }


def test_the_page_on_chaos_is_of_the_faults_and_promises_that_there_are() -> None:
    page = (DOCS / "chaos.md").read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| (F\d+) (.+?) \|", page, re.MULTILINE)) == NAMES
    promises = {each.number: each.says for each in INVARIANTS}
    assert dict(re.findall(r"^- (I\d+): (.+)$", page, re.MULTILINE)) == promises
    (scenarios,) = re.findall(r"(\d+) scenarios", page)
    assert f"({scenarios} scenarios)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_each_figure_has_a_script() -> None:
    page = (DOCS / "speed.md").read_text(encoding="utf-8")
    named = {*re.findall(r"benchmarks\.(\w+)", page), *re.findall(r"\(`(\w+)`\) \|", page)}
    assert len(named) > 5
    assert {name for name in named if not (ROOT / f"benchmarks/{name}.py").exists()} == set()


# Names in capitals that are no settings of ours.
OTHERS = {
    *("DAGSTER_HOME", "CELERY_BROKER_URL", "CLICK_NOT_FOUND", "TRACKING_DEBUG"),
    *("VISITOR_KEYS", "IN_DOUBT"),
}
WRITTEN_BY_HAND = [
    page
    for page in MARKDOWN
    if page.parent.name not in ("reference", "benchmarks")
    if page.name != "failures.md"
]


@pytest.mark.parametrize("page", WRITTEN_BY_HAND, ids=named)
def test_a_page_names_what_there_is(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    known = {
        *(name.upper() for name in Settings.model_fields),
        *(failure.code for failure in Failure),
        *OTHERS,
    }
    assert set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)", text)) <= known
    verbs = {name.split()[0] for name, _ in commands(get_command(app))}
    assert set(re.findall(r"tracking-pipeline ([a-z][a-z-]+)", text)) <= verbs


def test_a_file_that_is_pointed_to_is_there() -> None:
    code = [
        path
        for folder in ("tracking_pipeline", "tracking_pipeline_tests", "benchmarks", "docs")
        for path in (ROOT / folder).rglob("*.py")
    ]
    there = {"/".join(path.parts[start:]) for path in code for start in range(len(path.parts))}
    stale = [
        (named(page), pointer)
        for page in [*WRITTEN_BY_HAND, *code]
        if page.parent.name not in ("benchmarks", "tracking_pipeline_tests")
        for pointer in re.findall(r"(?<![\w/.-])((?:[a-z_]+/)+\w+\.py)\b", page.read_text("utf-8"))
        if pointer not in there
    ]
    assert stale == []


# --- links ---


def anchors(page: Path) -> set[str]:
    """The fragments of a page's headings, as a code host makes them."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[str]:
    text = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", page.read_text(encoding="utf-8")))
    for written, attribute in _LINK.findall(text):
        if not re.match(r"[a-z]+:", link := written or attribute):
            yield unquote(link)


@pytest.mark.parametrize("page", MARKDOWN, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (fragment and fragment not in anchors(target)):
            broken.append(link)
    assert not broken


def test_every_page_is_in_the_sites_navigation() -> None:
    text = re.sub(r"!!python/name:\S+", "", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    shown = set(re.findall(r"[\w./-]+\.md", json.dumps(yaml.safe_load(text)["nav"])))
    records = {named(page)[5:] for page in (DOCS / "decisions").glob("[0-9]*.md")}
    assert shown | records == {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}


# --- examples ---


@pytest.mark.parametrize("page", MARKDOWN, ids=named)
def test_json_and_yaml_can_be_read(page: Path) -> None:
    for text in blocks(page, "json"):
        json.loads(text)
    for text in blocks(page, "yaml"):
        yaml.safe_load(text)


_FILE = re.compile(r"cat > (\S+) <<'EOF'\n(.*?)^EOF$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def run(
    storage_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Run:
    """Executes a page as a shell would, with our own command in this process. Returns what the last
    command printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACKING_HOME", str(tmp_path))

    def one(command: list[str]) -> None:
        if command[0] == "tracking-pipeline":
            monkeypatch.setattr(sys, "argv", command)
            with pytest.raises(SystemExit) as end:
                main()
            assert not end.value.code, (command, capfd.readouterr())
        else:
            assert command[0] == "curl", "what else a page calls, this test has to learn"
            sys.stdout.write(subprocess.check_output(command, text=True))

    def page(path: Path, database_url: str, api: str = "") -> str:
        monkeypatch.setenv("TRACKING_DATABASE_URL", database_url)
        monkeypatch.setenv("ADMIN_API_TOKEN", ADMIN_TOKEN)
        for block in blocks(path, "sh"):
            for name, text in _FILE.findall(block):
                (tmp_path / name).write_text(text, encoding="utf-8")
            for line in _FILE.sub("", block).replace("\\\n", "").splitlines():
                if line.strip():
                    capfd.readouterr()
                    told = line.replace("http://127.0.0.1:8000", api)
                    one(shlex.split(os.path.expandvars(told)))
        return capfd.readouterr().out

    return page


def test_the_tutorial_heals_a_queue(server: TestServer, run: Run) -> None:
    url = server.create_database("tutorial")
    status = json.loads(run(DOCS / "tutorial.md", url))
    assert status["success"]
    with psycopg.connect(url) as connection:
        (row,) = connection.execute("select status, resolved_by from tracking_failed_events")
        (event,) = connection.execute("select event_name from wm_event_log")
    assert (row, event) == (("resolved", "tracking_pipeline"), ("Purchase",))


def test_the_how_tos_run(
    connection: psycopg.Connection, database_url: str, tmp_path: Path, run: Run
) -> None:
    mark_rehearsal(connection)
    load_sample(connection, tmp_path / "journal", leads=20, events=40, conversions=20)
    for page in ("replay-after-an-outage", "import"):
        run(DOCS / f"how-to/{page}.md", database_url)


def test_requests_and_queries_are_answered(
    connection: psycopg.Connection,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
) -> None:
    monkeypatch.setenv("TRACKING_DATABASE_URL", database_url)
    with serving() as served:
        for page in ("dashboard", "serve"):
            assert json.loads(run(DOCS / f"how-to/{page}.md", database_url, served.url))
    assert connection.execute("select event_name from wm_event_log").fetchall() == [("Purchase",)]
    for text in blocks(DOCS / "how-to/dashboard.md", "sql"):
        connection.execute(text.encode())


def test_a_person_is_found_and_erased_everywhere(
    connection: psycopg.Connection, database_url: str
) -> None:
    event = {"event_name": "Lead", "user_data": {"em": [hashlib.sha256(ADA.encode()).hexdigest()]}}
    lead = "insert into leads (email, client_ip) values (%s, '203.0.113.9') returning id"
    ada, grace = (connection.execute(lead, [each]).fetchone() for each in (ADA, GRACE))
    for name, payload in (("hashed", event), ("raw", {"email": ADA.upper()}), ("other", {})):
        connection.execute(
            "insert into tracking_failed_events"
            " (event_id, event_name, event_payload, destination, error_message)"
            " values (gen_random_uuid(), %s, %s, 'meta_capi', '')",
            [name, json.dumps(payload)],
        )
    connection.execute(
        "insert into tracking_accepted_events"
        " (event_id, event_name, event_payload, destination, lead_id)"
        " values (gen_random_uuid(), 'by lead', '{}', 'meta_capi', %s)",
        ada,
    )
    connection.execute("insert into tracking_ip_locations (ip) values ('203.0.113.9')")
    for name, lead_id in (("in the ledger", ada), ("of somebody else", grace)):
        connection.execute(
            "insert into wm_event_log (event_id, event_name, lead_id)"
            " values (gen_random_uuid(), %s, %s)",
            (name, *(lead_id or ())),
        )

    find, erase = blocks(DOCS / "how-to/privacy-requests.md", "sql")
    connection.execute(find.replace(":'email'", f"' {ADA.title()}'").encode())
    found = connection.execute("select event_name from found order by event_name").fetchall()
    assert found == [("by lead",), ("hashed",), ("in the ledger",), ("raw",)]
    connection.execute(erase.encode())
    assert connection.execute("select event_name from tracking_failed_events").fetchall() == [
        ("other",)
    ]
    assert connection.execute("select id from leads").fetchall() == [grace]
    for table in ("tracking_accepted_events", "tracking_ip_locations"):
        assert connection.execute(f"select from {table}").fetchall() == []
    ledger = connection.execute("select event_name from wm_event_log").fetchall()
    assert ledger == [("of somebody else",)]
    with pytest.raises(psycopg.errors.RestrictViolation):
        connection.execute("delete from wm_event_log")
