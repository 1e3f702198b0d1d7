"""Brings DB-IP's City Lite database, and keeps it: one pass of ``tracking-pipeline geo update``.

It is free (CC BY 4.0: pages that show its results link to https://db-ip.com), comes once a month
and needs no account: https://db-ip.com/db/download/ip-to-city-lite. What serves is only ever a
whole, checked file: it is written beside the old one, looked at, and renamed over it. A pass that
fails leaves everything as it was.
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import BinaryIO

import httpx

from tracking_pipeline.errors import ExplainedError
from tracking_pipeline.geo.mmdb import FILE_NAME, GeoDatabase, GeoDatabaseError
from tracking_pipeline.geo.provider import Located
from tracking_pipeline.postgres.lock import try_exclusive

DOWNLOAD_URL = "https://download.db-ip.com/free/dbip-city-lite-{month}.mmdb.gz"
PREVIOUS_NAME = "dbip-city-lite.previous.mmdb"

# The file has 130 MB today. What is far larger is no database of places, or is made to fill disks.
_MOST_BYTES = 1_000_000_000
_BLOCK_BYTES = 1 << 20
# Public name servers of four registries' regions. DB-IP has a record for every address in use.
_KNOWN_ADDRESSES = ("8.8.8.8", "1.1.1.1", "193.0.14.129", "200.160.0.10")
_BY_HAND = "download a file by hand and set GEO_MMDB_PATH"
_REMEDY = f"try again later, or {_BY_HAND}"


class GeoDownloadError(ExplainedError):
    """No new database could be brought. The message is one line: what failed, what to do."""


@dataclass(frozen=True, slots=True)
class Updated:
    """The database that is in place now. ``downloaded`` is False where it was there already."""

    path: Path
    build_date: date
    downloaded: bool


def download_client() -> httpx.Client:
    """The client for :func:`update_geo_database`: patient, and without any secret to lose."""
    return httpx.Client(timeout=60.0, follow_redirects=True)


def update_geo_database(
    folder: Path, *, client: httpx.Client, today: date, url_template: str = DOWNLOAD_URL
) -> Updated:
    """Puts the newest database into ``folder`` and keeps the one before it beside it.

    Takes this month's, or last month's while there is none yet. Does nothing where that is there
    already. ``url_template`` holds ``{month}``, which becomes ``2026-11``.

    Raises :class:`GeoDownloadError`.
    """
    path = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            return _update(path, client, today, url_template)
    except OSError as error:
        raise GeoDownloadError(
            f"{folder} cannot take the geo database: {error.strerror or type(error).__name__}"
        ) from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    lock = try_exclusive(folder / "update.lock")
    if lock is None:
        raise GeoDownloadError("another update of the geo database is running: wait for it")
    with lock:
        yield


def _update(path: Path, client: httpx.Client, today: date, url_template: str) -> Updated:
    present = _build_date(path)
    this_month = today.replace(day=1)
    last_month = (this_month - timedelta(days=1)).replace(day=1)
    part = path.with_suffix(".part")
    for month in (this_month, last_month):
        if present and present >= month:
            return Updated(path, present, downloaded=False)
        url = url_template.format(month=f"{month:%Y-%m}")
        try:
            if _download(client, url, part):
                build_date = _check(part)
                _swap_in(part, path, keep_old=present is not None)
                return Updated(path, build_date, downloaded=True)
        finally:
            part.unlink(missing_ok=True)
    raise GeoDownloadError(
        f"DB-IP has no file for {this_month:%Y-%m} nor for {last_month:%Y-%m} "
        f"(404 at {httpx.URL(url).host}): {_REMEDY}"
    )


def _build_date(path: Path) -> date | None:
    """Tells the build of the database in place, None where there is none that serves."""
    try:
        database = GeoDatabase.open(path)
    except GeoDatabaseError:
        return None
    database.close()
    return database.build_date


def _download(client: httpx.Client, url: str, part: Path) -> bool:
    """Writes the unpacked file to the disk; False where there is no such file (404)."""
    host = httpx.URL(url).host
    try:
        # The file is packed already; a server that packs it again would be unpacked only once.
        with client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response:
            if response.status_code == httpx.codes.NOT_FOUND:
                return False
            if response.status_code != httpx.codes.OK:
                raise GeoDownloadError(
                    f"{host} answered {response.status_code} instead of the geo database: {_REMEDY}"
                )
            if url.startswith("https:") and response.url.scheme != "https":
                raise GeoDownloadError(f"{host} sent the download away from https: {_BY_HAND}")
            with part.open("wb") as target:
                _gunzip(response.iter_raw(_BLOCK_BYTES), target)
                target.flush()
                os.fsync(target.fileno())
    except httpx.HTTPError as error:
        raise GeoDownloadError(
            f"the geo database could not be fetched from {host} ({type(error).__name__}): {_REMEDY}"
        ) from None
    except zlib.error:
        raise GeoDownloadError(
            f"what {host} sent is no gzip file, or a damaged one: {_REMEDY}"
        ) from None
    return True


def _gunzip(packed: Iterator[bytes], target: BinaryIO) -> None:
    """Unpacks block by block: neither file is ever in memory, however small it packs."""
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    written = 0
    for chunk in packed:
        unread = chunk
        while unread and not unpacker.eof:
            written += target.write(unpacker.decompress(unread, _BLOCK_BYTES))
            if written > _MOST_BYTES:
                raise GeoDownloadError(
                    f"the geo database is larger than {_MOST_BYTES // 1_000_000} MB: {_BY_HAND}"
                )
            unread = unpacker.unconsumed_tail
    target.write(unpacker.flush())
    if not unpacker.eof:
        raise zlib.error("cut short")


def _check(part: Path) -> date:
    """Looks known addresses up in the new file, before it serves; gives its build date."""
    try:
        database = GeoDatabase.open(part)
        try:
            answers = [database.look_up(address) for address in _KNOWN_ADDRESSES]
        finally:
            database.close()
    except GeoDatabaseError:
        raise GeoDownloadError(f"what was downloaded is no database of places: {_REMEDY}") from None
    unknown = sum(not isinstance(answer, Located) for answer in answers)
    if unknown:
        raise GeoDownloadError(
            f"the downloaded geo database does not know {unknown} of {len(answers)} well-known "
            f"addresses: {_REMEDY}"
        )
    return database.build_date


def _swap_in(part: Path, path: Path, *, keep_old: bool) -> None:
    """Renames the new file over the old one, of which a copy stays. There is a whole file under the
    name at every moment, and after a loss of power."""
    if keep_old:
        copy = path.with_suffix(".copy")
        shutil.copyfile(path, copy)
        copy.replace(path.with_name(PREVIOUS_NAME))
    part.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
