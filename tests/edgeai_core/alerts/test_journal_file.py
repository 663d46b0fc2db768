"""The journal's file: private, local, migrated, checked; never replaced without being told to."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import edgeai_core.alerts.database as database
from edgeai_core.alerts.database import (
    JournalBusyError,
    JournalCorruptError,
    refuse_network,
    set_aside,
)
from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.lifecycle import Change
from edgeai_core.alerts.migrations import APPLICATION_ID, MIGRATIONS, migrate, user_version
from edgeai_core.errors import JournalError

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /mnt/ward rw,relatime shared:2 - nfs4 server:/export rw,vers=4.2
31 22 0:41 / /mnt/with\\040space rw - cifs //server/share rw
32 22 0:42 / /home/me/cloud rw - fuse.sshfs me@host: rw
33 30 8:2 / /mnt/ward/local rw - ext4 /dev/sdb1 rw
34 22 0:43 / /over rw - nfs server:/a rw
35 22 0:44 / /over rw - ext4 /dev/sdc1 rw
not a line of a mount table
"""


def _journal_with_an_alert(path: Path, change: Callable[..., Change], count: int = 1) -> None:
    journal = Journal(path, device="ward-3")
    journal.append([change(subject=f"patient-{n}", note="x" * 500) for n in range(count)])
    journal.close()


@pytest.mark.parametrize(
    "path", ["/mnt/ward/journal.sqlite3", "/mnt/with space/state/journal.sqlite3", "/home/me/cloud/j.sqlite3"]
)
def test_a_network_file_system_is_refused_by_name(path: str) -> None:
    with pytest.raises(JournalError, match=r"network file system.*--state"):
        refuse_network(Path(path), MOUNTS)


@pytest.mark.parametrize(
    "path", ["/home/me/j.sqlite3", "/mnt/ward/local/j.sqlite3", "/over/j.sqlite3", "/mnt/wards/j"]
)
def test_a_local_file_system_is_taken_even_below_or_beside_a_network_one(path: str) -> None:
    refuse_network(Path(path), MOUNTS)


def test_opening_asks_the_machines_own_mount_table(
    journal_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 0:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:2 / {tmp_path} rw - nfs server:/x rw\n")
    monkeypatch.setattr(database, "_MOUNTS", mounts)
    with pytest.raises(JournalError, match="network file system"):
        Journal(journal_path, device="ward-3")
    assert not journal_path.exists()


def test_the_journal_is_for_its_owner_alone(
    journal: Journal, journal_path: Path, change: Callable[..., Change]
) -> None:
    journal.append([change()])
    assert stat.S_IMODE(journal_path.parent.stat().st_mode) == 0o700
    for path in journal_path.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_commit_is_on_the_disk_before_it_returns(journal_path: Path) -> None:
    journal = Journal(journal_path, device="ward-3")
    assert journal._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert journal._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    journal.close()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: b"this is no database\n" * 500, id="another file"),
        pytest.param(lambda content: content[:5000], id="truncated"),
        pytest.param(lambda content: content[:4096] + b"\xa5" * (len(content) - 4096), id="overwritten"),
    ],
)
def test_a_damaged_file_is_refused_and_left_as_it_is_until_somebody_moves_it(
    journal_path: Path, change: Callable[..., Change], damage: Callable[[bytes], bytes]
) -> None:
    _journal_with_an_alert(journal_path, change, count=40)
    damaged = damage(journal_path.read_bytes())
    journal_path.write_bytes(damaged)
    with pytest.raises(JournalCorruptError, match="left as it is"):
        Journal(journal_path, device="ward-3")
    assert journal_path.read_bytes() == damaged
    aside = set_aside(journal_path)
    assert aside.read_bytes() == damaged
    fresh = Journal(journal_path, device="ward-3")
    assert fresh.alerts() == []
    fresh.close()


def test_moving_aside_never_overwrites_what_was_moved_before(
    journal_path: Path, change: Callable[..., Change]
) -> None:
    for _ in range(2):
        _journal_with_an_alert(journal_path, change)
        set_aside(journal_path)
    names = sorted(path.name for path in journal_path.parent.glob("*.aside-*"))
    assert names == ["journal.sqlite3.aside-1", "journal.sqlite3.aside-2"]
    with pytest.raises(JournalError, match="cannot move"):
        set_aside(journal_path)


def test_another_programs_database_is_refused_and_left_alone(journal_path: Path) -> None:
    journal_path.parent.mkdir()
    with sqlite3.connect(journal_path) as other:
        other.execute("CREATE TABLE notes (text)")
    other.close()
    with pytest.raises(JournalCorruptError, match="another program"):
        Journal(journal_path, device="ward-3")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match=r"file/journal\.sqlite3.*--state"):
        Journal(tmp_path / "file" / "journal.sqlite3", device="ward-3")


def test_a_folder_of_somebody_else_is_named_on_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o500)
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from edgeai_core.alerts.journal import Journal\n"
        "from edgeai_core.errors import JournalError\n"
        "os.chdir(sys.argv[1])\n"
        "if os.getuid() == 0: os.setuid(65534)\n"  # root may write anywhere
        "try: Journal(Path('journal.sqlite3'), device='ward-3')\n"
        "except JournalError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=False, timeout=60
    )
    assert "journal.sqlite3" in done.stdout, done.stderr
    assert "Permission denied" in done.stdout
    assert done.stdout.count("\n") == 1


def test_a_reader_needs_a_journal_that_is_there(journal_path: Path) -> None:
    with pytest.raises(JournalError, match="no journal at"):
        Journal(journal_path, device="ward-3", read_only=True)
    assert not journal_path.exists()


def test_a_reader_cannot_write(journal: Journal, journal_path: Path, change: Callable[..., Change]) -> None:
    reader = Journal(journal_path, device="ward-3", read_only=True)
    with pytest.raises(JournalError, match="cannot write"):
        reader.append([change()])
    reader.close()


def test_a_writer_that_waits_too_long_for_another_says_so_and_writes_nothing(
    journal: Journal, journal_path: Path, change: Callable[..., Change], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.01)
    impatient = Journal(journal_path, device="ward-3")
    with journal._writing(), pytest.raises(JournalBusyError, match="held by another process"):
        impatient.append([change()])
    assert len(impatient.append([change()])) == 1
    impatient.close()


def test_the_log_is_folded_back_when_it_is_long_and_the_file_stays_whole_under_several_writers(
    journal: Journal, journal_path: Path, change: Callable[..., Change]
) -> None:
    log = journal_path.with_name("journal.sqlite3-wal")
    other = Journal(journal_path, device="ward-3")
    longest = 0
    for number in range(150):
        (journal, other)[number % 2].append([change(subject=f"patient-{number}", ecg_mv=["0.123"] * 5000)])
        longest = max(longest, log.stat().st_size)
    other.close()
    assert journal_path.stat().st_size > 8_000_000
    assert longest < 6_000_000
    assert journal._connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


# Migrations


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
def test_a_file_of_any_earlier_version_is_brought_up_to_date(journal_path: Path, version: int) -> None:
    journal_path.parent.mkdir()
    old = sqlite3.connect(journal_path, isolation_level=None)
    assert migrate(old, MIGRATIONS[:version]) == version
    old.close()
    journal = Journal(journal_path, device="ward-3")
    assert user_version(journal._connection) == len(MIGRATIONS)
    assert journal._connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert journal.alerts() == []
    journal.close()


def test_a_later_step_keeps_what_an_earlier_version_wrote(
    journal_path: Path, change: Callable[..., Change]
) -> None:
    _journal_with_an_alert(journal_path, change)
    connection = sqlite3.connect(journal_path, isolation_level=None)
    later = (*MIGRATIONS, ("ALTER TABLE alerts ADD COLUMN ward TEXT",))
    assert migrate(connection, later) == len(MIGRATIONS) + 1
    assert migrate(connection, later) == len(MIGRATIONS) + 1
    assert connection.execute("SELECT subject, ward FROM alerts").fetchall() == [("patient-0", None)]
    connection.close()


def test_a_step_that_fails_leaves_the_file_at_its_version(
    journal_path: Path, change: Callable[..., Change]
) -> None:
    _journal_with_an_alert(journal_path, change)
    connection = sqlite3.connect(journal_path, isolation_level=None)
    broken = (
        *MIGRATIONS,
        ("ALTER TABLE alerts ADD COLUMN ward TEXT", "ALTER TABLE missing ADD COLUMN x"),
    )
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, broken)
    connection.close()
    journal = Journal(journal_path, device="ward-3")
    assert len(journal.alerts()) == 1
    journal.close()


def test_a_file_of_a_newer_version_is_refused_and_left_alone(
    journal_path: Path, change: Callable[..., Change]
) -> None:
    _journal_with_an_alert(journal_path, change)
    connection = sqlite3.connect(journal_path, isolation_level=None)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    for read_only in (False, True):
        with pytest.raises(JournalError, match="newer EdgeAI"):
            Journal(journal_path, device="ward-3", read_only=read_only)


def test_opening_leaves_no_file_open_when_it_is_refused(journal_path: Path) -> None:
    journal_path.parent.mkdir()
    journal_path.write_bytes(b"not a database" * 400)
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(JournalCorruptError):
        Journal(journal_path, device="ward-3")
    assert set(os.listdir("/proc/self/fd")) == before
