"""How a test writes the file that it imports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import orjson

Write: TypeAlias = Callable[..., Path]
"""Writes a file of this name: text and bytes as they are, each dict as one line of JSON."""


def encoded(content: str | bytes | dict[str, Any]) -> bytes:
    if isinstance(content, dict):
        return orjson.dumps(content) + b"\n"
    return content.encode() if isinstance(content, str) else content
