"""The embedded server under every way in which its users, it and its surroundings come and go.

Each user is a process of its own, a real one, because it is processes that are killed.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from tracking_pipeline.postgres.binaries import wheel_binaries
from tracking_pipeline.postgres.process import blocking_folder, choose_account, run_as
from tracking_pipeline.postgres.server import EmbeddedPostgresError, hold, hold_with
from tracking_pipeline_tests.servers import find_server_binaries, reachable_folder

DEADLINE_SECONDS = 30
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")


def _wheel_is_closed_to_the_server() -> bool:
    """Whether this checkout lies where only root may go, so that the server runs from a copy."""
    account = choose_account(Path("/nonexistent"))
    return account is not None and blocking_folder(account, wheel_binaries()) is not None


from_an_open_folder = pytest.mark.skipif(
    _wheel_is_closed_to_the_server(),
    reason="the wheel's binaries lie in a folder that only root may enter",
)

USER = """
import sys
from pathlib import Path
from tracking_pipeline.postgres.server import hold

server = hold(Path(sys.argv[1]))
print(server.url("postgres"), flush=True)
for line in sys.stdin:
    exec(line)
server.release()
"""


class User:
    """A process that holds the server, does what it is told, and leaves or is killed."""

    def __init__(self, home: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, home],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until_it_holds(self) -> str:
        """Give the URL of database `postgres`."""
        assert self.process.stdout is not None
        url = self.process.stdout.readline().strip()
        assert url, self.process.communicate()[1]
        return url

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def leave(self) -> None:
        """Let it end; give control back when it has."""
        _, complaint = self.process.communicate(timeout=DEADLINE_SECONDS)
        assert (self.process.returncode, complaint) == (0, "")

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def words_of(process: psutil.Process) -> list[str]:
    """Its command line; nothing for one that is gone or about to be."""
    with suppress(psutil.Error):
        return process.cmdline()
    return []


def processes_of(home: Path) -> list[psutil.Process]:
    """Give what runs with this home on its command line: the server, its keeper, its users."""
    return [
        found
        for found in psutil.process_iter()
        if any(str(home) in word for word in words_of(found))
    ]


def servers_of(home: Path) -> list[psutil.Process]:
    return [
        found
        for found in processes_of(home)
        if any(word.endswith("/postgres") for word in words_of(found)[:1])
    ]


def keeper_of(home: Path) -> psutil.Process:
    (keeper,) = [
        found for found in processes_of(home) if any("keeper" in w for w in words_of(found))
    ]
    return keeper


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def kill_server(home: Path) -> None:
    """Kill the postmaster as the kernel would, and wait until it is gone."""
    (server,) = servers_of(home)
    server.kill()
    wait_until(lambda: not servers_of(home))


def ask(url: str, question: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute(question.encode()).fetchone()
        assert row is not None
        return str(row[0])


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that does not exist yet; the test fails if anything of it still runs afterwards."""
    above = reachable_folder()
    yield above / "home"
    try:
        wait_until(lambda: not processes_of(above))
    finally:
        for process in processes_of(above):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        shutil.rmtree(above, ignore_errors=True)


# Coming and going


def test_the_last_of_eight_that_start_at_once_stops_the_one_server(home: Path) -> None:
    users = [User(home) for _ in range(8)]
    urls = {user.wait_until_it_holds() for user in users}
    assert len(urls) == 1
    assert len(servers_of(home)) == 1
    for user in users[1:]:
        user.leave()
    assert ask(urls.pop(), "SELECT 1") == "1"
    users[0].leave()
    assert servers_of(home) == []


def test_two_holds_of_one_process_are_left_one_by_one(home: Path) -> None:
    first = hold(home)
    second = hold(home)
    first.release()
    assert ask(second.url("postgres"), "SELECT 1") == "1"
    second.release()
    assert servers_of(home) == []


def test_leaving_twice_does_not_take_the_server_from_another_user(home: Path) -> None:
    with hold(home) as other:
        server = hold(home)
        server.release()
        server.release()
        assert ask(other.url("postgres"), "SELECT 1") == "1"


def test_a_process_that_ends_without_leaving_has_left(home: Path) -> None:
    user = User(home)
    user.wait_until_it_holds()
    user.tell("sys.exit()")
    user.process.wait(DEADLINE_SECONDS)
    assert servers_of(home) == []
    user.kill()


def test_a_forked_child_that_ends_does_not_leave_in_its_parents_name(home: Path) -> None:
    user = User(home)
    url = user.wait_until_it_holds()
    user.tell("import os; child = os.fork(); child or sys.exit()")
    user.tell("os.waitpid(child, 0); print('child has ended', flush=True)")
    assert user.process.stdout is not None
    assert user.process.stdout.readline() == "child has ended\n"
    with hold(home):
        pass
    assert ask(url, "SELECT 1") == "1"
    user.leave()
    assert servers_of(home) == []


def test_data_are_there_again_at_the_same_port(home: Path) -> None:
    with hold(home) as server:
        url = server.ensure_database("kept")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    with hold(home):
        assert ask(url, "SELECT answer FROM kept") == "42"


# Killing


def test_a_killed_user_disturbs_nobody_and_the_last_one_still_stops_the_server(home: Path) -> None:
    victim, survivor = User(home), User(home)
    url = survivor.wait_until_it_holds()
    victim.wait_until_it_holds()
    victim.kill()
    assert ask(url, "SELECT 1") == "1"
    survivor.leave()
    assert servers_of(home) == []


def test_the_keeper_stops_the_server_of_a_killed_only_user(home: Path) -> None:
    user = User(home)
    user.wait_until_it_holds()
    user.kill()
    wait_until(lambda: not processes_of(home))
    assert "database system is shut down" in (home / "postgres" / "server.log").read_text()


def test_a_killed_keeper_is_replaced_by_the_next_user(home: Path) -> None:
    with hold(home):
        keeper_of(home).kill()
        wait_until(lambda: not any("keeper" in " ".join(words_of(p)) for p in processes_of(home)))
        user = User(home)
        user.wait_until_it_holds()
        assert keeper_of(home).is_running()
    user.kill()
    wait_until(lambda: not processes_of(home))


def test_the_keeper_has_no_file_open_but_its_locks_and_the_log(home: Path) -> None:
    with socket.socket() as inherited, hold(home):
        os.set_inheritable(inherited.fileno(), True)
        keeper = keeper_of(home)
        assert keeper.net_connections() == []
        wait_until(lambda: len(keeper.open_files()) > 0)
        folder = home / "postgres"
        expected = {str(folder / name) for name in ("bell.lock", "keeper.lock", "server.log")}
        assert {file.path for file in keeper.open_files()} <= expected


def test_a_starter_killed_while_it_makes_the_data_folder_leaves_nothing_half_made(
    home: Path,
) -> None:
    starter = User(home)
    wait_until(lambda: any((home / "postgres").glob("initdb-*/data/PG_VERSION")))
    starter.kill()
    with hold(home) as server:
        assert ask(server.url("postgres"), "SELECT 1") == "1"
    wait_until(lambda: not processes_of(home))  # the orphaned initdb works to its end
    with hold(home):
        assert not list((home / "postgres").glob("initdb-*"))


def test_no_acknowledged_row_is_lost_when_the_server_is_killed_under_load(home: Path) -> None:
    acknowledged: list[int] = []

    def write(url: str) -> None:
        with suppress(psycopg.OperationalError), psycopg.connect(url, autocommit=True) as writer:
            for number in range(1_000_000):
                writer.execute("INSERT INTO written VALUES (%s)", [number])
                acknowledged.append(number)

    with ExitStack() as users:
        first = users.enter_context(hold(home))
        url = first.ensure_database("load")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE written (number int)")
        load = threading.Thread(target=write, args=[url])
        load.start()
        wait_until(lambda: len(acknowledged) > 500)
        kill_server(home)
        load.join(DEADLINE_SECONDS)
        with pytest.raises(EmbeddedPostgresError, match="does not answer any more"):
            first.ensure_database("load")

        again = users.enter_context(hold(home))
        with psycopg.connect(again.url("load")) as connection:
            kept = {row[0] for row in connection.execute("SELECT number FROM written")}
        assert set(acknowledged) <= kept
    assert servers_of(home) == []


def test_a_stranger_that_got_the_pid_of_the_dead_server_lives_on(home: Path) -> None:
    pid_file = home / "postgres" / "data" / "postmaster.pid"
    with ExitStack() as users:
        users.enter_context(hold(home))
        account = choose_account(home / "postgres" / "data")
        kill_server(home)
        # Of the server's own account: that is the stranger that PostgreSQL takes for a server.
        stranger = subprocess.Popen(["sleep", "600"], **run_as(account))
        try:
            _, rest = pid_file.read_text().split("\n", 1)
            pid_file.write_text(f"{stranger.pid}\n{rest}")
            again = users.enter_context(hold(home))
            assert ask(again.url("postgres"), "SELECT 1") == "1"
            users.close()
            assert stranger.poll() is None
        finally:
            stranger.kill()
            stranger.wait()


def test_a_server_on_its_way_down_is_waited_for_and_started_again(home: Path) -> None:
    with hold(home) as server, psycopg.connect(server.url("postgres")) as straggler:
        (going,) = servers_of(home)
        going.send_signal(signal.SIGTERM)  # it refuses new connections until its last client goes
        log = home / "postgres" / "server.log"
        wait_until(lambda: "received smart shutdown request" in log.read_text())
        user = User(home)
        straggler.close()
        assert ask(user.wait_until_it_holds(), "SELECT 1") == "1"
        assert going not in servers_of(home)
        user.leave()


# Databases and settings


def test_a_server_in_crash_recovery_is_stopped_without_delay(home: Path) -> None:
    log = home / "postgres" / "server.log"
    with hold(home) as server, psycopg.connect(server.url("postgres")) as victim:
        os.kill(victim.info.backend_pid, signal.SIGKILL)  # the server restarts itself
        wait_until(lambda: "all server processes terminated; reinitializing" in log.read_text())
        began = time.monotonic()
        server.release()
        assert time.monotonic() - began < 20
    with hold(home) as server:
        assert ask(server.url("postgres"), "SELECT 1") == "1"


def test_a_database_that_several_processes_want_at_once_is_made_once(home: Path) -> None:
    users = [User(home) for _ in range(4)]
    for user in users:
        user.wait_until_it_holds()
    for user in users:
        for name in ("one", "two"):
            user.tell(f"server.ensure_database({name!r})")
    for user in users[1:]:
        user.leave()
    with hold(home) as server:
        assert server.database_exists("one")
        assert server.database_exists("two")
        assert not server.database_exists("three")
        assert server.ensure_database("one") == server.url("one")
    users[0].leave()


def test_a_name_with_quotes_and_slashes_is_one_database(home: Path) -> None:
    name = 'o"ne/t%wo ü'
    with hold(home) as server:
        assert ask(server.ensure_database(name), "SELECT current_database()") == name


def test_the_server_is_durable_and_listens_on_loopback_to_those_with_the_password(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSSLMODE", "require")  # what another server needs does not lock us out
    with hold(home) as server:
        url = server.url("postgres")
        for setting, value in {
            "fsync": "on",
            "synchronous_commit": "on",
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "100",
        }.items():
            assert ask(url, f"SHOW {setting}") == value
        record = home / "postgres" / "server.json"
        assert record.stat().st_mode & 0o777 == 0o600
        password = json.loads(record.read_text())["password"]
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(url.replace(password, "wrong"))


def test_the_log_has_no_personal_data(home: Path) -> None:
    log = home / "postgres" / "server.log"
    with hold(home) as server, psycopg.connect(server.url("postgres"), autocommit=True) as leads:
        leads.execute("CREATE TABLE leads (email text PRIMARY KEY)")
        for _ in range(2):
            with suppress(psycopg.errors.UniqueViolation):
                leads.execute("INSERT INTO leads VALUES ('ada@example.com')")
        with suppress(psycopg.errors.InvalidTextRepresentation):
            leads.execute("SELECT 'ada@example.com'::int")
        # Of a process that crashed, PostgreSQL logs the last statement, unless told not to.
        os.kill(leads.info.backend_pid, signal.SIGKILL)
        wait_until(lambda: "was terminated by signal 9" in log.read_text())
    assert "ready to accept connections" in log.read_text()
    assert "ada@example.com" not in log.read_text()


def test_a_port_that_was_taken_meanwhile_is_left_to_its_new_owner(home: Path) -> None:
    with hold(home):
        pass
    port = json.loads((home / "postgres" / "server.json").read_text())["port"]
    with socket.create_server(("127.0.0.1", port)) as stranger:

        def turn_a_caller_away() -> None:
            stranger.accept()[0].close()

        threading.Thread(target=turn_a_caller_away, daemon=True).start()
        with hold(home) as server:
            assert f":{port}/" not in server.url("postgres")
            assert ask(server.url("postgres"), "SELECT 1") == "1"


# Surroundings


# initdb looks for its companions through a shell, which cannot be told every name: the binaries'
# own path must be plainer than the data's.
@from_an_open_folder
@pytest.mark.parametrize("name", ["sp ace 'q' \"d\" $HOME ü 漢", "d/" * 40 + "deep" * 50])
def test_a_home_of_any_name_and_depth_works(home: Path, name: str) -> None:
    with hold(home / name) as server:
        assert ask(server.url("postgres"), "SELECT 1") == "1"


@from_an_open_folder
@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such a name")
def test_a_home_whose_name_is_not_utf8_works(home: Path) -> None:
    with hold(home / os.fsdecode(b"\xff\xfe")) as server:
        assert ask(server.url("postgres"), "SELECT 1") == "1"


def test_a_home_that_cannot_be_made_is_told_in_one_line(home: Path) -> None:
    home.write_text("a file")
    with pytest.raises(EmbeddedPostgresError) as caught:
        hold(home / "below")
    assert str(home / "below") in str(caught.value)
    assert "set TRACKING_HOME" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_home_deleted_under_its_user_ends_in_peace(home: Path) -> None:
    server = hold(home)
    (running,) = servers_of(home)
    shutil.rmtree(home)
    server.release()
    running.terminate()  # by itself it finds out within a minute
    wait_until(lambda: not running.is_running())


def test_a_data_folder_of_another_major_version_is_not_touched(home: Path) -> None:
    with hold_with(home, wheel_binaries(16), {}):
        pass
    with pytest.raises(EmbeddedPostgresError) as caught:
        hold(home)
    for part in ("PostgreSQL 16", "PostgreSQL 18", str(home / "postgres" / "data"), "dump it"):
        assert part in str(caught.value)
    with hold_with(home, wheel_binaries(16), {}) as server:
        assert ask(server.url("postgres"), "SHOW server_version").startswith("16")


@pytest.mark.parametrize("major", [15, 16, 18])
def test_every_major_version_found_on_this_machine_can_be_started(home: Path, major: int) -> None:
    if (binaries := find_server_binaries().get(major)) is None:
        pytest.skip(f"this machine has no PostgreSQL {major}")
    with hold_with(home, binaries, {}) as server:
        assert ask(server.url("postgres"), "SHOW server_version").startswith(str(major))
        assert ask(server.url("postgres"), "SELECT lower('É')") == "é"


def test_a_server_that_does_not_start_says_why(home: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match='invalid value for parameter "shared_buffers"'):
        hold_with(home, wheel_binaries(), {"shared_buffers": "much"})


def test_a_lost_password_is_told_and_not_guessed(home: Path) -> None:
    with hold(home):
        pass
    record = home / "postgres" / "server.json"
    record.unlink()
    with pytest.raises(EmbeddedPostgresError, match=r"server\.json.* is missing or damaged"):
        hold(home)


def test_a_server_in_another_container_is_not_started_a_second_time(home: Path) -> None:
    with hold(home):
        record = home / "postgres" / "server.json"
        elsewhere = {**json.loads(record.read_text()), "machine": "another", "port": 1}
        record.write_text(json.dumps(elsewhere))
        with pytest.raises(EmbeddedPostgresError, match="in another container"):
            hold(home)
        assert len(servers_of(home)) == 1


# As root, and as somebody else


@as_root
def test_root_runs_the_server_as_another_account_and_keeps_the_password_to_itself(
    home: Path,
) -> None:
    with hold(home):
        (server,) = servers_of(home)
        assert server.uids().effective != 0
        assert server.gids().effective != 0
        groups = Path(f"/proc/{server.pid}/status").read_text().split("Groups:")[1].split("\n")[0]
        assert groups.strip() == ""
        assert (home / "postgres" / "data").stat().st_uid == server.uids().effective
        assert (home / "postgres" / "server.json").stat().st_uid == 0
        assert (home / "postgres").stat().st_mode & 0o777 == 0o711


@as_root
def test_a_folder_that_the_account_cannot_pass_is_named_and_left_closed(home: Path) -> None:
    closed = home / "closed"
    closed.mkdir(parents=True)
    closed.chmod(0o700)
    with pytest.raises(EmbeddedPostgresError) as caught:
        hold(closed / "home")
    assert f"cannot enter {closed}:" in str(caught.value)
    assert "set TRACKING_HOME" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
def test_binaries_that_the_account_cannot_reach_are_copied_once(home: Path, tmp_path: Path) -> None:
    package = wheel_binaries().parent.parent
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    copied_parts = (f"{package.name}/pginstall18", f"{package.name}.libs")
    for part in copied_parts:
        if (package.parent / part).exists():
            shutil.copytree(package.parent / part, closed / part)
    binaries = closed / package.name / "pginstall18" / "bin"
    made = []
    for _ in range(2):
        with hold_with(home, binaries, {}) as server:
            assert ask(server.url("postgres"), "SELECT 1") == "1"
            (running,) = servers_of(home)
            assert Path(running.exe()).is_relative_to(home / "postgres")
        (copy,) = (home / "postgres").glob("binaries-*")
        made.append(copy.stat().st_ino)
    assert made[0] == made[1]
    assert closed.stat().st_mode & 0o777 == 0o700


AS_SOMEBODY_ELSE = """
import os, sys
from pathlib import Path
import psycopg
from tracking_pipeline.postgres.server import EmbeddedPostgresError, hold

home, uid, gid = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
os.setgroups([]); os.setresgid(gid, gid, gid); os.setresuid(uid, uid, uid)
with hold(home) as server:
    url = server.ensure_database("mine")
    print(psycopg.connect(url).execute("SELECT 'served'").fetchone()[0], flush=True)
    print(os.stat(home / "postgres" / "data").st_uid, flush=True)
try:
    hold(home.parent / "forbidden")
except EmbeddedPostgresError as error:
    print(error, flush=True)
"""


@as_root
@from_an_open_folder
def test_a_plain_user_serves_itself_and_is_told_what_it_may_not_write(home: Path) -> None:
    # Privileges are dropped after the imports: root's interpreter may be closed to others.
    nobody = pwd.getpwnam("nobody")
    home.mkdir()
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    arguments = [str(home), str(nobody.pw_uid), str(nobody.pw_gid)]
    done = subprocess.run(
        [sys.executable, "-c", AS_SOMEBODY_ELSE, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=DEADLINE_SECONDS,
    )
    served, owner, forbidden = done.stdout.splitlines()
    assert (served, owner) == ("served", str(nobody.pw_uid))
    assert "Permission denied" in forbidden
    assert servers_of(home) == []


@as_root
@from_an_open_folder
def test_root_does_not_lock_a_plain_user_out_of_its_own_home(home: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    home.mkdir()
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    arguments = [str(home), str(nobody.pw_uid), str(nobody.pw_gid)]
    command = [sys.executable, "-c", AS_SOMEBODY_ELSE, *arguments]
    subprocess.run(command, check=True, timeout=DEADLINE_SECONDS)
    with hold(home):
        (server,) = servers_of(home)
        assert server.uids().effective == nobody.pw_uid
    subprocess.run(command, check=True, timeout=DEADLINE_SECONDS)
