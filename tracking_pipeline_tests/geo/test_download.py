from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from tracking_pipeline.geo import download
from tracking_pipeline.geo.download import (
    PREVIOUS_NAME,
    GeoDownloadError,
    Updated,
    download_client,
    update_geo_database,
)
from tracking_pipeline.geo.mmdb import FILE_NAME, GeoDatabase, database_file
from tracking_pipeline.postgres.lock import try_exclusive
from tracking_pipeline_tests.geo.databases import SAN_JOSE, WELL_KNOWN, write_database

TODAY = date(2026, 11, 24)
THIS_MONTH = "2026-11"
LAST_MONTH = "2026-10"


@dataclass
class Publisher:
    """Serves files by their month, as DB-IP does, and notes what it was asked for."""

    url_template: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    status: int = 200
    cut_after: int | None = None
    redirect_to: str | None = None


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    publisher = Publisher()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            month = self.path.removeprefix("/city-").removesuffix(".mmdb.gz")
            publisher.asked.append(month)
            content = publisher.files.get(month)
            if publisher.redirect_to:
                self.send_response(302)
                self.send_header("Location", publisher.redirect_to)
            else:
                self.send_response(404 if content is None else publisher.status)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write((content or b"")[: publisher.cut_after])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    publisher.url_template = f"http://127.0.0.1:{server.server_port}/city-{{month}}.mmdb.gz"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield publisher
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return database_file(tmp_path / "home").parent


@pytest.fixture
def packed(tmp_path: Path) -> Callable[[date], bytes]:
    """What the publisher offers: a database of that build, in gzip."""

    def pack(built: date) -> bytes:
        file = write_database(tmp_path / "built.mmdb", WELL_KNOWN, built=built)
        return gzip.compress(file.read_bytes())

    return pack


@pytest.fixture
def update(folder: Path, publisher: Publisher) -> Callable[..., Updated]:
    def run(today: date = TODAY) -> Updated:
        with download_client() as client:
            return update_geo_database(
                folder, client=client, today=today, url_template=publisher.url_template
            )

    return run


Pack = Callable[[date], bytes]
Update = Callable[..., Updated]


def build_date(path: Path) -> date:
    database = GeoDatabase.open(path)
    database.close()
    return database.build_date


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()} - {"update.lock"}


def test_this_months_database_is_put_in_place(
    publisher: Publisher, folder: Path, packed: Pack, update: Update
) -> None:
    publisher.files[THIS_MONTH] = packed(date(2026, 11, 1))
    assert update() == Updated(folder / FILE_NAME, date(2026, 11, 1), downloaded=True)
    assert build_date(folder / FILE_NAME) == date(2026, 11, 1)
    assert names(folder) == {FILE_NAME}


def test_early_in_a_month_last_months_database_serves(
    publisher: Publisher, packed: Pack, update: Update
) -> None:
    publisher.files[LAST_MONTH] = packed(date(2026, 10, 1))
    assert update().build_date == date(2026, 10, 1)
    assert publisher.asked == [THIS_MONTH, LAST_MONTH]


def test_the_month_before_january_is_december(
    publisher: Publisher, packed: Pack, update: Update
) -> None:
    publisher.files["2026-12"] = packed(date(2026, 12, 1))
    assert update(today=date(2027, 1, 31)).build_date == date(2026, 12, 1)


def test_a_database_that_is_there_already_is_not_fetched_again(
    publisher: Publisher, packed: Pack, update: Update
) -> None:
    publisher.files[THIS_MONTH] = packed(date(2026, 11, 1))
    update()
    assert update() == Updated(update().path, date(2026, 11, 1), downloaded=False)
    assert publisher.asked == [THIS_MONTH]


def test_last_months_database_is_not_fetched_again_while_there_is_no_newer_one(
    publisher: Publisher, packed: Pack, update: Update
) -> None:
    publisher.files[LAST_MONTH] = packed(date(2026, 10, 1))
    update()
    assert update().downloaded is False
    assert publisher.asked == [THIS_MONTH, LAST_MONTH, THIS_MONTH]


def test_one_old_copy_is_kept(
    publisher: Publisher, folder: Path, packed: Pack, update: Update
) -> None:
    for month in (9, 10, 11):
        publisher.files[f"2026-{month:02}"] = packed(date(2026, month, 1))
        update(today=date(2026, month, 5))
    assert names(folder) == {FILE_NAME, PREVIOUS_NAME}
    assert build_date(folder / FILE_NAME) == date(2026, 11, 1)
    assert build_date(folder / PREVIOUS_NAME) == date(2026, 10, 1)


def test_a_spoilt_file_in_place_is_replaced_and_is_no_old_copy(
    publisher: Publisher, folder: Path, packed: Pack, update: Update
) -> None:
    folder.mkdir(parents=True)
    (folder / FILE_NAME).write_bytes(b"cut short")
    publisher.files[THIS_MONTH] = packed(date(2026, 11, 1))
    assert update().downloaded is True
    assert names(folder) == {FILE_NAME}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", "no gzip file"),
        (b"", "no gzip file"),
        # Without the time of day: a test has the same name in every worker.
        (gzip.compress(b"<html>" * 1000, mtime=0), "no database of places"),
    ],
    ids=["a page", "nothing", "a packed page"],
)
def test_what_is_no_database_never_serves(
    publisher: Publisher, packed: Pack, update: Update, content: bytes, message: str
) -> None:
    publisher.files = {LAST_MONTH: packed(date(2026, 10, 1)), THIS_MONTH: content}
    path = update(today=date(2026, 10, 5)).path
    with pytest.raises(GeoDownloadError, match=message):
        update()
    assert names(path.parent) == {FILE_NAME}
    assert build_date(path) == date(2026, 10, 1)


def test_a_gzip_file_that_ends_too_early_never_serves(
    publisher: Publisher, folder: Path, packed: Pack, update: Update
) -> None:
    publisher.files[THIS_MONTH] = packed(date(2026, 11, 1))[:-10]
    with pytest.raises(GeoDownloadError, match="no gzip file, or a damaged one"):
        update()
    assert names(folder) == set()


def test_a_connection_that_breaks_off_leaves_nothing_behind(
    publisher: Publisher, folder: Path, packed: Pack, update: Update
) -> None:
    publisher.files[THIS_MONTH] = packed(date(2026, 11, 1))
    publisher.cut_after = 100
    with pytest.raises(GeoDownloadError, match="could not be fetched from"):
        update()
    assert names(folder) == set()


def test_a_database_that_does_not_know_the_well_known_never_serves(
    publisher: Publisher, folder: Path, tmp_path: Path, update: Update
) -> None:
    file = write_database(tmp_path / "built.mmdb", {"8.8.8.0/24": SAN_JOSE})
    publisher.files[THIS_MONTH] = gzip.compress(file.read_bytes())
    with pytest.raises(GeoDownloadError, match="does not know 3 of 4"):
        update()
    assert names(folder) == set()


def test_a_file_that_unpacks_without_end_is_stopped(
    publisher: Publisher, folder: Path, update: Update, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_MOST_BYTES", 5_000_000)
    publisher.files[THIS_MONTH] = gzip.compress(b"\0" * 50_000_000)
    with pytest.raises(GeoDownloadError, match="larger than 5 MB"):
        update()
    assert names(folder) == set()


def test_two_months_without_a_file_say_what_to_do(update: Update) -> None:
    with pytest.raises(GeoDownloadError, match=r"2026-11 nor for 2026-10.*GEO_MMDB_PATH"):
        update()


@pytest.mark.parametrize("status", [403, 429, 500, 503])
def test_a_publisher_in_trouble_is_told_apart_from_a_missing_file(
    publisher: Publisher, update: Update, status: int
) -> None:
    publisher.files[THIS_MONTH] = b"busy"
    publisher.status = status
    with pytest.raises(GeoDownloadError, match=f"answered {status}"):
        update()
    assert publisher.asked == [THIS_MONTH]


def test_a_publisher_that_is_not_there_is_one_line(folder: Path) -> None:
    nobody = "http://127.0.0.1:1/{month}"
    with download_client() as client, pytest.raises(GeoDownloadError) as failed:
        update_geo_database(folder, client=client, today=TODAY, url_template=nobody)
    assert "\n" not in str(failed.value)
    assert "could not be fetched" in str(failed.value)


def test_redirects_that_never_end_are_one_line(publisher: Publisher, update: Update) -> None:
    publisher.redirect_to = publisher.url_template.format(month=THIS_MONTH)
    with pytest.raises(GeoDownloadError, match="TooManyRedirects"):
        update()


def test_a_download_does_not_leave_https(folder: Path) -> None:
    def send_away(request: httpx.Request) -> httpx.Response:
        if request.url.scheme == "https":
            return httpx.Response(302, headers={"Location": "http://127.0.0.1/elsewhere"})
        return httpx.Response(200, content=b"from anybody on the way")

    with (
        httpx.Client(transport=httpx.MockTransport(send_away), follow_redirects=True) as client,
        pytest.raises(GeoDownloadError, match="away from https"),
    ):
        update_geo_database(
            folder, client=client, today=TODAY, url_template="https://127.0.0.1/{month}"
        )


def test_a_second_update_at_the_same_time_steps_back(folder: Path, update: Update) -> None:
    folder.mkdir(parents=True)
    lock = try_exclusive(folder / "update.lock")
    assert lock is not None
    with lock, pytest.raises(GeoDownloadError, match="another update"):
        update()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, publisher: Publisher) -> None:
    (tmp_path / "file").write_text("in the way")
    with download_client() as client, pytest.raises(GeoDownloadError, match="cannot take"):
        update_geo_database(
            tmp_path / "file" / "geo",
            client=client,
            today=TODAY,
            url_template=publisher.url_template,
        )
