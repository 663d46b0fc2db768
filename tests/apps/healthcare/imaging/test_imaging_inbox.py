"""The inbox: of what comes, from a person, a scanner or over HTTP, nothing is lost and nothing half taken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.healthcare.imaging import inbox as inbox_module
from apps.healthcare.imaging.inbox import Inbox, clean_reference, study_id
from apps.healthcare.imaging.sources import Study, StudyFolder, StudyInbox
from edgeai_core.clock import VirtualClock
from edgeai_core.errors import EndOfStream, InputError
from edgeai_core.sample import Reading
from edgeai_core.testing import check_source

SECOND_NS = 1_000_000_000


def opened(folder: Path) -> StudyInbox:
    source = StudyInbox(folder)
    source.open(VirtualClock(SECOND_NS))
    return source


def next_of(source: StudyInbox) -> Reading[Study]:
    reading = source.read(5.0)
    assert reading is not None
    return reading


def test_the_inbox_keeps_the_contract_of_a_durable_source(tmp_path: Path) -> None:
    for number in range(3):
        Inbox(tmp_path / "inbox").put(f"study {number}".encode(), f"s{number}", None)
    check_source(lambda: StudyInbox(tmp_path / "inbox"), readings=3)


def test_a_file_is_taken_when_it_has_come_to_rest_and_by_the_folder_it_lies_in(tmp_path: Path) -> None:
    source = opened(tmp_path)
    (tmp_path / "xray" / "film 1.png").write_bytes(b"half")
    inbox = Inbox(tmp_path)
    inbox.collect()
    (tmp_path / "xray" / "film 1.png").write_bytes(b"half and half")
    inbox.collect()
    assert inbox.waiting() == []
    inbox.collect()
    assert [(each.modality, each.reference) for each in inbox.waiting()] == [("xray", "film_1.png")]
    assert next_of(source).data.content == b"half and half"
    assert not (tmp_path / "xray" / "film 1.png").exists()


def test_unfinished_hidden_and_linked_files_are_left_alone(tmp_path: Path) -> None:
    source = opened(tmp_path)
    (tmp_path / "scan.dcm.part").write_bytes(b"x")
    (tmp_path / ".hidden").write_bytes(b"x")
    (tmp_path / "link.png").symlink_to("/etc/hostname")
    (tmp_path / "folder").mkdir()
    assert source.read(3.0) is None
    assert (tmp_path / "scan.dcm.part").exists()


def test_what_was_not_committed_comes_again_after_a_kill_and_what_was_does_not(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    for number in range(3):
        inbox.put(f"study {number}".encode(), f"s{number}", "ct")
    first = next_of(opened(tmp_path))
    again = opened(tmp_path)
    assert next_of(again) == first
    assert first.sequence is not None
    again.commit(first.sequence)
    left = opened(tmp_path)
    assert [next_of(left).data.reference for _ in range(2)] == ["s1", "s2"]
    (kept,) = (tmp_path / "answered").rglob("*.s0")
    assert kept.read_bytes() == b"study 0"


def test_numbers_rise_also_when_the_clock_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = Inbox(tmp_path)
    first = inbox.put(b"a", "a", None)
    monkeypatch.setattr(inbox_module.time, "time_ns", lambda: 5)
    inbox.answer(first.sequence)
    assert inbox.put(b"b", "b", None).sequence == first.sequence + 1


def test_the_same_bytes_that_wait_already_are_not_queued_twice(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    assert inbox.put(b"same", "one", None) == inbox.put(b"same", "two", None)
    assert len(inbox.waiting()) == 1
    assert inbox.waiting()[0].id == study_id(b"same")


def test_a_file_over_the_limit_is_told_of_without_being_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = opened(tmp_path)
    with (tmp_path / "huge.dcm").open("wb") as file:
        file.truncate(2 << 30)  # a sparse file: 2 GB that take no room
    study = next_of(source).data
    assert study.content == b""
    assert study.size_bytes == 2 << 30


def test_a_full_disk_takes_nothing_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = os.statvfs_result  # any named type will do
    assert usage
    monkeypatch.setattr(
        inbox_module.shutil, "disk_usage", lambda _: inbox_module.shutil._ntuple_diskusage(1, 1, 10)
    )
    with pytest.raises(InputError, match="full"):
        Inbox(tmp_path).put(b"x", "x", None)
    assert Inbox(tmp_path).waiting() == []


def test_a_folder_is_played_once_by_name_and_says_when_it_is_over(tmp_path: Path) -> None:
    (tmp_path / "ct").mkdir()
    for name in ("b.png", "a.png", "ct/c.png"):
        (tmp_path / name).write_bytes(name.encode())
    source = StudyFolder(tmp_path)
    source.check()
    source.open(VirtualClock(SECOND_NS))
    came = [source.read(2.0) for _ in range(3)]
    assert [(each.data.reference, each.data.modality) for each in came if each] == [
        ("a.png", None), ("b.png", None), ("c.png", "ct"),
    ]  # fmt: skip
    with pytest.raises(EndOfStream):
        source.read(2.0)
    assert (tmp_path / "a.png").exists()
    with pytest.raises(InputError, match="no study"):
        StudyFolder(tmp_path / "nowhere").check()


@given(st.text(max_size=200))
def test_any_word_of_a_sender_makes_a_harmless_file_name(word: str) -> None:
    clean = clean_reference(word)
    assert 1 <= len(clean) <= 80
    assert "/" not in clean
    assert not clean.startswith(".")
