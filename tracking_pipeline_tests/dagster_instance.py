"""A Dagster instance of its own for each test that needs one."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import dagster as dg
from dagster._core.storage.defs_state.base import set_defs_state_storage


@contextmanager
def fresh_instance() -> Iterator[dg.DagsterInstance]:
    """An instance with empty storage on SQLite. Making its tables takes five times as long as
    copying them.

    An instance that is entered again, as a context's resources do, stays behind as the one whose
    state definitions are loaded with: the outer block takes that back.
    """
    with tempfile.TemporaryDirectory() as folder, set_defs_state_storage(None):
        shutil.copytree(_template(), folder, dirs_exist_ok=True)
        with dg.instance_for_test(temp_dir=folder) as instance:
            yield instance


@cache
def _template() -> Path:
    """A folder in which an instance has made all of its tables."""
    folder = tempfile.mkdtemp(prefix="dagster-template-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with dg.instance_for_test(temp_dir=folder) as instance:
        # Each storage makes its tables when it is first asked.
        instance.get_runs(limit=1)
        instance.all_instigator_state()
        instance.fetch_materializations(dg.AssetKey("none"), limit=1)
    return Path(folder)
