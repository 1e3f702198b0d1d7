"""What reading a stored event costs, beside the readers that it replaced.

    python -m benchmarks.reading [--events N] [--rounds N] [--profile FORM]

One event carries five identifiers as people type them (e-mail, phone, first and last name, zip), an
address, a browser, an order. Each form that payloads have is read whole: the event's own fields,
consent, and the match keys of its person, for Meta and for Google. No two events have an e-mail,
phone or last name in common.

The readers before (``delivery/conversion.py`` and ``identity/finder.py`` of the commit named below)
are taken from the repository's history and run in the same minute on the same inputs, round about.
Figures are processor time, the median of the rounds; what counts is the ratio. The old readers did
less: what they did not find they did not read, and not every form was one that they knew.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import json
import os
import pstats
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

from benchmarks.identity import american_phone, people

BEFORE = "51b062f"
NOW = datetime(2026, 11, 29, 12, tzinfo=timezone.utc)
SECONDS = int(NOW.timestamp()) - 600
_AGENT = "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/537.36 Chrome/131.0"


def meta_event(person: dict[str, str], number: int) -> dict[str, Any]:
    return {
        "event_name": "Purchase",
        "event_id": f"ev-{number}",
        "event_time": SECONDS,
        "action_source": "website",
        "event_source_url": "https://shop.example/thanks",
        "user_data": {**person, **_browser(number)},
        "custom_data": {"value": 19.9, "currency": "EUR", "order_id": f"o-{number}"},
    }


def flat_event(person: dict[str, str], number: int) -> dict[str, Any]:
    return {
        "eventName": "Purchase",
        "eventId": f"ev-{number}",
        "timestamp": SECONDS,
        "page_location": "https://shop.example/thanks",
        "value": "19.90",
        "currency": "EUR",
        "transaction_id": f"o-{number}",
        **person,
        **_browser(number),
    }


def ledger_row(person: dict[str, str], number: int) -> dict[str, Any]:
    return {
        "event_name": "Purchase",
        "event_id": f"ev-{number}",
        "event_time": "2026-11-29T11:50:00+00:00",
        "page_path": "/thanks",
        "funnel_stage": "sale",
        "traffic_source": "google",
        "metadata": {"value": 19.9, "currency": "EUR", "order_id": f"o-{number}"},
        "user_data": {**person, **_browser(number)},
    }


def segment_track(person: dict[str, str], number: int) -> dict[str, Any]:
    return {
        "type": "track",
        "event": "Order Completed",
        "messageId": f"ev-{number}",
        "timestamp": "2026-11-29T11:50:00.000Z",
        "userId": f"u-{number}",
        "properties": {"revenue": 19.9, "currency": "EUR", "order_id": f"o-{number}"},
        "context": {
            "traits": person,
            "ip": f"81.2.69.{number % 250 + 1}",
            "userAgent": _AGENT,
            "page": {"url": "https://shop.example/thanks"},
        },
    }


def _browser(number: int) -> dict[str, str]:
    return {
        "client_user_agent": _AGENT,
        "client_ip_address": f"81.2.69.{number % 250 + 1}",
    }


FORMS: dict[str, Callable[[dict[str, str], int], dict[str, Any]]] = {
    "meta_event": meta_event,
    "flat": flat_event,
    "ledger_row": ledger_row,
    "segment_track": segment_track,
}


def readers() -> dict[str, Callable[[Any], Any]]:
    """The readers of the package that can be imported, by platform: new or old."""
    row = {
        "event_id": UUID(int=6),
        "event_name": "Purchase",
        "event_type": "conversion",
        "user_data": None,
        "lead_id": None,
        "session_id": None,
        "created_at": NOW,
        "now": NOW,
    }
    try:
        from tracking_pipeline.events.conversion import read_conversion  # noqa: PLC0415
        from tracking_pipeline.events.person import person_keys  # noqa: PLC0415
        from tracking_pipeline.events.row import StoredRow  # noqa: PLC0415
    except ImportError:
        return _old_readers(row)

    def read(payload: Any, platform: str) -> Any:
        conversion: Any = read_conversion(StoredRow(payload=payload, **row))
        keys = person_keys(
            conversion.reading, platform, "US", "all", event_time=conversion.event_time
        )
        return conversion.event_id, keys[0]

    return {
        "meta": lambda payload: read(payload, "meta"),
        "google": lambda payload: read(payload, "google"),
    }


def _old_readers(row: dict[str, Any]) -> dict[str, Callable[[Any], Any]]:
    # Modules of the older package alone, which this one has no more.
    events = import_module("tracking_pipeline.delivery.events")
    conversions = import_module("tracking_pipeline.delivery.conversion")
    persons = import_module("tracking_pipeline.delivery.person")

    rest = {"id": UUID(int=5), "retry_count": 0, "max_retries": 5, "lease_token": 1}

    def read(payload: Any, platform: str) -> Any:
        event = events.FailedEvent(payload=payload, **row, **rest)
        conversion = conversions.read_conversion(event)
        keys, _ = persons.person_keys(event, conversion.fields, platform, "US", "all")
        return conversion.event_id, keys

    return {
        "meta": lambda payload: read(payload, "meta"),
        "google": lambda payload: read(payload, "google"),
    }


def measure(count: int, first: int) -> dict[str, float]:
    """Microseconds an event, by form and platform, of the package that can be imported."""
    figures = {}
    for platform, read in readers().items():
        for name, form in FORMS.items():
            payloads = [
                form(person, first + number)
                for number, person in enumerate(people(first, count, american_phone))
            ]
            for payload in payloads[:200]:
                read(payload)
            started = time.process_time()
            for payload in payloads:
                read(payload)
            figures[f"{name}, {platform}"] = (time.process_time() - started) / count * 1e6
    return figures


def _in_a_process(folder: Path, count: int, first: int) -> dict[str, float]:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.reading",
            "--measure",
            str(first),
            "--events",
            str(count),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _unpack_before(folder: Path) -> None:
    """The package as it was, with this benchmark beside it."""
    archive = subprocess.run(
        ["git", "archive", BEFORE, "tracking_pipeline", "benchmarks/__init__.py"],
        check=False,
        capture_output=True,
    )
    if archive.returncode:
        archive = subprocess.run(
            ["git", "archive", BEFORE, "tracking_pipeline"],
            check=True,
            capture_output=True,
        )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    beside = folder / "benchmarks"
    beside.mkdir(exist_ok=True)
    (beside / "__init__.py").touch()
    for name in ("reading.py", "identity.py"):
        (beside / name).write_text((Path(__file__).parent / name).read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--profile", choices=FORMS, help="profile the new reader on one form")
    arguments = parser.parse_args()
    if arguments.measure is not None:
        print(json.dumps(measure(arguments.events, arguments.measure)))
        return
    if arguments.profile:
        read, form = readers()["meta"], FORMS[arguments.profile]
        payloads = [form(each, at) for at, each in enumerate(people(0, 5_000, american_phone))]
        profile = cProfile.Profile()
        profile.enable()
        for payload in payloads:
            read(payload)
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(30)
        return
    figures: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        before = Path(temporary)
        _unpack_before(before)
        here = Path(__file__).resolve().parent.parent
        for number in range(arguments.rounds):
            for age, folder in (("before", before), ("now", here)):
                found = _in_a_process(folder, arguments.events, number * arguments.events)
                for name, figure in found.items():
                    figures.setdefault(name, {}).setdefault(age, []).append(figure)
    print(f"{arguments.rounds} rounds of {arguments.events:,} events, microseconds an event")
    for name, ages in figures.items():
        before_us, now_us = (statistics.median(ages[age]) for age in ("before", "now"))
        print(f"  {name:24} before {before_us:7.1f}   now {now_us:7.1f}   {now_us / before_us:.2f}")


if __name__ == "__main__":
    main()
