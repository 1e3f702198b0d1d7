"""The sandbox's journal: what must survive when one process of a rehearsal follows another.

One JSON object a line, appended in one write each. It holds ids, event names, answers and scripts;
no match keys and nothing else about a person.

Failure policy, reading: a line that cannot be read is skipped and counted. A process that is killed
while it writes leaves half a line, and a rehearsal that cannot start helps nobody.
Failure policy, writing: an error is the caller's. A rehearsal that forgets in silence is worse.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson


class Journal:
    """An append-only NDJSON file."""

    def __init__(self, path: Path) -> None:
        """Opens the file, and creates it and its folder when they are missing."""
        self.path = path
        self.skipped_lines = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        if not self._ends_with_newline():
            # Half a line of a killed process: end it, so that it does not spoil the next one.
            os.write(self._file, b"\n")

    def read(self) -> Iterator[dict[str, Any]]:
        """Every record of the file, oldest first."""
        with self.path.open("rb") as lines:
            for line in lines:
                try:
                    record = orjson.loads(line)
                except orjson.JSONDecodeError:
                    self.skipped_lines += bool(line.strip())
                    continue
                if isinstance(record, dict):
                    yield record

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record. Raises `OSError` when the file cannot be written."""
        os.write(self._file, orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None:
        """Close the file; the journal cannot be written afterwards."""
        os.close(self._file)

    def _ends_with_newline(self) -> bool:
        size = os.fstat(self._file).st_size
        return size == 0 or os.pread(self._file, 1, size - 1) == b"\n"
