"""A local database of places: a file in MaxMind's format, MMDB.

Known by their records and not by their names: DB-IP City Lite (the official file, and the flat one
of `@ip-location-db`), GeoLite2 and GeoIP2 City, ipinfo's downloads. A file without any place in it
is refused. Nothing is derived from coordinates: those of an unknown city are a country's middle.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from functools import lru_cache
from itertools import islice
from pathlib import Path

import anyio
import maxminddb
from maxminddb import InvalidDatabaseError

from tracking_pipeline.geo.place import Place, place_of
from tracking_pipeline.geo.provider import NOWHERE, Answer, Located, is_no_home

NAME = "mmdb"
FILE_NAME = "dbip-city-lite.mmdb"
# Every known file says in its first records what it is about; the first networks of some are empty.
_RECORDS_TO_JUDGE_BY = 1000
# https://maxmind.github.io/MaxMind-DB/: the metadata stand in the last 128 KiB, behind a mark.
_METADATA_BYTES = 128 * 1024
_METADATA_MARK = b"\xab\xcd\xefMaxMind.com"
# What is downloaded goes where the setting does not point.
_BY_UPDATE = "`tracking-pipeline geo update` does, unless GEO_MMDB_PATH is set"
ONLY_COUNTRIES = (
    "knows countries only, and no source of cities serves: leads get their country and wait; unset"
    " GEO_MMDB_PATH and run tracking-pipeline geo update, or set another source"
)
# What the reader raises for a record that it cannot decode.
_DAMAGE = (InvalidDatabaseError, UnicodeDecodeError)
_NOT_IN_A_SOURCE = re.compile(r"[^a-z0-9]+")


def database_file(home: Path) -> Path:
    """Where the downloaded database is, below ``TRACKING_HOME``: what serves as ``GEO_MMDB_PATH``
    where that is not set and this file exists."""
    return home / "geo" / FILE_NAME


class GeoDatabaseError(Exception):
    """The file cannot serve. The message is one line: which file, what is wrong, what to do."""


class GeoDatabase:
    """An open file of places. :meth:`open` makes one.

    The reader maps a private copy of the file, since a file that is cut short in place (by a plain
    `cp` over it, for a moment) kills every process that has it mapped, by SIGBUS. Loading the file
    into memory, which `maxminddb` offers as well, makes its look-ups ten times slower. The copy
    takes the file's size (some 130 MB) in the folder for temporary files until it is closed.
    """

    def __init__(self, reader: maxminddb.Reader, *, of_countries: bool = False) -> None:
        """``of_countries``: it knows no city of any address."""
        self.of_countries = of_countries
        metadata = reader.metadata()
        self._reader = reader
        self._is_ipv4_only = metadata.ip_version == 4
        self.build_date: date = datetime.fromtimestamp(metadata.build_epoch, timezone.utc).date()
        kind = _NOT_IN_A_SOURCE.sub("-", metadata.database_type.lower()).strip("-")
        self.source = f"{NAME} {kind} {self.build_date:%Y-%m}"
        """What goes into ``geo_source``: ``mmdb dbip-city-lite 2026-11``."""

    @classmethod
    def open(cls, path: Path) -> GeoDatabase:
        """Opens the file as it is now. Raises :class:`GeoDatabaseError`."""
        try:
            reader = _open_copy(path)
        except FileNotFoundError:
            raise GeoDatabaseError(
                f"there is no file {path}: put it there ({_BY_UPDATE}), or correct GEO_MMDB_PATH"
            ) from None
        except OSError as error:
            raise GeoDatabaseError(
                f"{path} cannot be read (through a copy in {tempfile.gettempdir()}): "
                f"{error.strerror}"
            ) from None
        except (InvalidDatabaseError, UnicodeDecodeError, ValueError):
            raise GeoDatabaseError(
                f"{path} is no whole MMDB file (cut short, or of another format): replace it "
                f"({_BY_UPDATE})"
            ) from None
        try:
            return cls._judged(reader, path)
        except BaseException:
            reader.close()
            raise

    @classmethod
    def _judged(cls, reader: maxminddb.Reader, path: Path) -> GeoDatabase:
        damaged = GeoDatabaseError(f"{path} is damaged: replace it ({_BY_UPDATE})")
        try:
            records = list(islice(_records(reader), _RECORDS_TO_JUDGE_BY))
            database = cls(reader, of_countries=_is_of_countries(reader, records))
        except (InvalidDatabaseError, ValueError, OverflowError, OSError):
            raise damaged from None
        if not any(isinstance(_answer(record), Located) for record in records):
            if any(isinstance(record, _DAMAGE) for record in records):
                raise damaged
            raise GeoDatabaseError(
                f"{path} holds no places (it is a {reader.metadata().database_type} file): "
                "GEO_MMDB_PATH wants a city database"
            )
        return database

    def look_up(self, address: str) -> Answer:
        """Gives the answer for one public address. Raises :class:`GeoDatabaseError` where the
        record for it is damaged."""
        if self._is_ipv4_only and ":" in address:
            return NOWHERE
        try:
            return _answer(self._reader.get(address))
        except _DAMAGE as error:
            raise GeoDatabaseError(
                f"the geo database {self.source} is damaged: replace the file ({_BY_UPDATE})"
            ) from error

    def close(self) -> None:
        """Gives the private copy back; nothing can be looked up afterwards."""
        self._reader.close()


def has_end(path: Path) -> bool:
    """Whether the file ends as one of this format does: not where it was cut short, nor where it is
    of another format. Cheap, and no proof that the rest is whole. False where it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _METADATA_BYTES))
            return _METADATA_MARK in file.read()
    except OSError:
        return False


def is_of_countries(path: Path) -> bool:
    """Whether the file knows countries and no city, as a look at its first records tells, without a
    copy of it. False where it cannot be read."""
    try:
        with maxminddb.open_database(path, maxminddb.MODE_FILE) as reader:
            return _is_of_countries(reader, islice(_records(reader), _RECORDS_TO_JUDGE_BY))
    except (OSError, ValueError, *_DAMAGE):
        return False


def _is_of_countries(reader: maxminddb.Reader, records: Iterable[object]) -> bool:
    # The first networks of a database of cities may all be some of which none is known.
    if "city" in reader.metadata().database_type.lower():
        return False
    places = [each.place for each in map(_answer, records) if isinstance(each, Located)]
    return bool(places) and not any(place.city or place.state for place in places)


def _open_copy(path: Path) -> maxminddb.Reader:
    """Opens a copy that has no name any more, so that nobody can reach it and none is left over."""
    descriptor, copy = tempfile.mkstemp(prefix="tracking-geo-", suffix=".mmdb")
    try:
        with os.fdopen(descriptor, "wb") as target, path.open("rb") as original:
            before = _Version.of(os.fstat(original.fileno()))
            shutil.copyfileobj(original, target, 1 << 20)
            if _Version.of(os.fstat(original.fileno())) != before:
                raise GeoDatabaseError(
                    f"{path} is being written to: it serves once it is whole; put new files in "
                    "place by a rename"
                )
        return maxminddb.open_database(copy)
    finally:
        os.unlink(copy)


@dataclass(frozen=True, slots=True)
class _Version:
    """What is different once a file was replaced, or written over."""

    device: int
    inode: int
    size: int
    modified_ns: int

    @classmethod
    def of(cls, stat: os.stat_result) -> _Version:
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)


def _records(reader: maxminddb.Reader) -> Iterator[object]:
    """The records in the order of the file; for one that cannot be read, its error: the reader goes
    on behind it, and so does a database of which one record is broken."""
    records = iter(reader)
    while True:
        try:
            yield next(records)[1]
        except StopIteration:
            return
        except _DAMAGE as error:
            yield error


def _answer(record: object) -> Answer:
    if not isinstance(record, dict):
        return NOWHERE
    place = _nested_place(record) if _is_nested(record) else _flat_place(record)
    if place is None:
        return NOWHERE
    # The free databases do not say it.
    return Located(place, hosting=is_no_home(record))


def _is_nested(record: dict[str, object]) -> bool:
    return "subdivisions" in record or isinstance(record.get("city") or record.get("country"), dict)


def _nested_place(record: dict[str, object]) -> Place | None:
    """MaxMind's shape, which DB-IP's official files share: https://dev.maxmind.com/geoip/docs."""
    subdivisions = record.get("subdivisions")
    largest = subdivisions[0] if isinstance(subdivisions, list) and subdivisions else None
    return _place(
        _english(record.get("city")),
        _english(largest),
        _text(largest, "iso_code"),
        _text(record.get("postal"), "code"),
        _text(record.get("country"), "iso_code"),
    )


def _flat_place(record: dict[str, object]) -> Place | None:
    """Strings under plain names: `@ip-location-db` has state1 and postcode; ipinfo has region and
    postal_code (once postal), its country may be a name beside the country_code."""
    return _place(
        _text(record, "city"),
        _text(record, "region") or _text(record, "state1"),
        _text(record, "region_code"),
        _text(record, "postal_code") or _text(record, "postal") or _text(record, "postcode"),
        _text(record, "country_code") or _text(record, "country"),
    )


def _english(named: object) -> str | None:
    return _text(named.get("names"), "en") if isinstance(named, dict) else None


def _text(values: object, name: str) -> str | None:
    text = values.get(name) if isinstance(values, dict) else None
    return text if isinstance(text, str) else None


# Many addresses have the same place: reading it anew takes twice as long as finding its record.
@lru_cache(maxsize=50_000)
def _place(
    city: str | None,
    state: str | None,
    state_code: str | None,
    zip_code: str | None,
    country: str | None,
) -> Place | None:
    return place_of(
        city=city, state=state, state_code=state_code, zip_code=zip_code, country=country
    )


class MmdbProvider:
    """The provider ``mmdb``: looks addresses up in a local file, and follows that file.

    Before each batch it looks whether the file has changed, and opens it anew if so. What a file
    cannot say has no answer, as if nobody had been asked: the next provider serves, and nothing is
    spent on a lead for a fault that is not its own. ``refusal`` then has the reason.
    """

    name = NAME

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: GeoDatabase | GeoDatabaseError | None = None
        self._damage: GeoDatabaseError | None = None
        self._version: _Version | None = None
        self._opening = anyio.Lock()

    @property
    def source(self) -> str:
        """Database and build, once it is open: ``mmdb dbip-city-lite 2026-11``."""
        return self._opened.source if isinstance(self._opened, GeoDatabase) else NAME

    @property
    def refusal(self) -> str | None:
        """Why the file could not serve when it was last asked, in one line that tells what to do;
        None where it could."""
        refused = self._opened if isinstance(self._opened, GeoDatabaseError) else self._damage
        return str(refused) if refused else None

    @property
    def of_countries(self) -> bool:
        """Whether the file knows countries only."""
        return isinstance(self._opened, GeoDatabase) and self._opened.of_countries

    async def locate(self, addresses: Sequence[str]) -> dict[str, Answer]:
        """Gives an answer for each address that the file can be asked about. A thousand take about
        ten milliseconds, during which the event loop waits."""
        database = await self._current()
        if isinstance(database, GeoDatabaseError):
            return {}
        answers: dict[str, Answer] = {}
        for address in addresses:
            try:
                answers[address] = database.look_up(address)
            except GeoDatabaseError as error:
                self._damage = error
        return answers

    def close(self) -> None:
        """Closes the file; the next batch would open it again."""
        if isinstance(self._opened, GeoDatabase):
            self._opened.close()
        self._opened = self._damage = None

    async def _current(self) -> GeoDatabase | GeoDatabaseError:
        """Gives the database of the file as it is now, or why it cannot serve."""
        async with self._opening:
            version = _version_of(self._path)
            if self._opened is None or version != self._version:
                self.close()
                # Copying a hundred megabytes is nothing to keep an event loop waiting for.
                self._opened = await anyio.to_thread.run_sync(_open_or_refuse, self._path)
                self._version = version
            return self._opened


def _version_of(path: Path) -> _Version | None:
    try:
        return _Version.of(path.stat())
    except OSError:
        return None


def _open_or_refuse(path: Path) -> GeoDatabase | GeoDatabaseError:
    try:
        return GeoDatabase.open(path)
    except GeoDatabaseError as error:
        return error
