"""What a run writes to its standard output is kept for the UI, and still seen where it went."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest

from tracking_pipeline.defs.instance.storage import TrackingComputeLogs

KEY = ["a run", "compute_logs", "a step"]


def test_what_a_run_writes_is_kept_and_shown_without_a_process_beside_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    logs = TrackingComputeLogs(str(tmp_path))
    children = psutil.Process().children()
    with logs.capture_logs(KEY):
        sys.stdout.write("before\n")
        sys.stderr.write("trouble\n")
        assert psutil.Process().children() == children
    sys.stdout.write("after\n")
    assert capfd.readouterr() == ("before\nafter\n", "trouble\n")
    kept = logs.get_log_data(KEY)
    assert (kept.stdout, kept.stderr) == (b"before\n", b"trouble\n")
    assert logs.is_capture_complete(KEY)


def test_what_nobody_reads_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = TrackingComputeLogs(str(tmp_path))
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", None)
        with logs.capture_logs(KEY):
            sys.stdout.write("before\n")
    kept = logs.get_log_data(KEY)
    assert (kept.stdout, kept.stderr) == (b"before\n", b"")
