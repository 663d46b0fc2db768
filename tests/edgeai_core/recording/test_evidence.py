"""The time around an alert is kept, within its budgets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from apps.automotive.messages import CameraImage
from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.lifecycle import Change
from edgeai_core.alerts.walltime import now
from edgeai_core.decision import Condition, Priority
from edgeai_core.recording.evidence import EvidenceLimits, EvidenceRing
from edgeai_core.recording.file import Entry, ReadState, read_entries
from edgeai_core.recording.replay import Verdict, replay_recording
from edgeai_core.recording.tap import RecordingTap
from edgeai_core.sample import Sample
from edgeai_core.state import State, evidence_of

from .conftest import (
    CLOCK_NS,
    NAME,
    recording,
    run_recorded,
    wait_until,
    watch,
)


def raise_alert(state: State, alert_id: str, priority: Priority = Priority.HIGH) -> None:
    condition = Condition("BRIGHT", alert_id, priority, "It is bright")
    journal = Journal(state.journal, device="here")
    journal.append([Change(True, "toy", "watch", condition, now(), alert_id, by="toy.watch")])
    journal.close()


def test_the_time_around_a_critical_alert_is_kept_under_the_alert_s_id(state: State) -> None:
    Journal(state.journal, device="here").close()
    limits = EvidenceLimits(before_s=60, after_s=60)
    with recording(state, None, evidence=limits):
        run_recorded(state, watch(20))
        raise_alert(state, "low-one", Priority.LOW)
        raise_alert(state, "first")
        wait_until(lambda: evidence_of(state.evidence, "first") is not None)
        run_recorded(state, watch(5))
        raise_alert(state, "second")
        wait_until(lambda: evidence_of(state.evidence, "second") is not None)
    first, second = (evidence_of(state.evidence, each) for each in ("first", "second"))
    assert first is not None
    assert second is not None
    assert first.samefile(second)  # one stretch of time, kept once
    assert evidence_of(state.evidence, "low-one") is None
    assert evidence_of(state.evidence, "../journal") is None
    state_of_file = ReadState()
    entries = list(read_entries(first, state_of_file))
    assert state_of_file.metadata["alert"] == "first"
    assert sum(entry.topic == "/toy.watch/camera/preview" for entry in entries) == 25
    verdict = Verdict()
    list(replay_recording(first, {NAME: watch()}, verdict))
    assert verdict.equal


def test_evidence_keeps_the_previews_of_large_pictures_and_its_replay_says_what_is_missing(
    state: State,
) -> None:
    Journal(state.journal, device="here").close()
    image = CameraImage(np.zeros((300, 300, 3), np.uint8))
    with recording(state, None, evidence=EvidenceLimits(before_s=60, after_s=60)):
        tap = RecordingTap(state.run, "toy", "watch", "{}")
        tap.arrived("camera", Sample(image, 1, 1, 1))
        tap.close()
        raise_alert(state, "one")
        wait_until(lambda: evidence_of(state.evidence, "one") is not None)
    path = evidence_of(state.evidence, "one")
    assert path is not None
    entries = list(read_entries(path))
    assert [entry.lossy for entry in entries if "camera" in entry.topic] == [True]
    assert path.stat().st_size < 30_000
    verdict = Verdict()
    list(replay_recording(path, {NAME: watch()}, verdict))
    assert verdict.missing == 1


def entry(second: float, size: int = 1000) -> Entry:
    return Entry("/edgeai/toy.watch", CLOCK_NS + int(second * 1e9), bytes(size))


def finish(ring: EvidenceRing, second: float) -> None:
    """Let the ring write what waits, which it does a little at a time, and close what is complete."""
    while ring._open:
        ring.tick(CLOCK_NS + int(second * 1e9))


def test_an_alert_that_is_raised_again_keeps_the_evidence_of_its_first_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ring = EvidenceRing(tmp_path / "evidence", 0, EvidenceLimits(before_s=10, after_s=2))
    ring.add(entry(1))
    path = ring.alert("a", CLOCK_NS + int(1e9), [], {})
    finish(ring, 10)
    ring.add(entry(20))
    assert ring.alert("a", CLOCK_NS + int(20e9), [], {}) == path
    assert not ring._open
    assert path is not None
    assert [(each.log_ns - CLOCK_NS) // 10**9 for each in read_entries(path)] == [1]
    assert not caplog.records or all(each.levelname != "ERROR" for each in caplog.records)


def test_evidence_holds_its_window_its_memory_and_its_disk(tmp_path: Path) -> None:
    limits = EvidenceLimits(before_s=10, after_s=2, memory_bytes=1_000_000, disk_bytes=8_000_000)
    ring = EvidenceRing(tmp_path / "evidence", 0, limits)
    for second in range(30):
        ring.add(entry(second))
    path = ring.alert("a", CLOCK_NS + int(29e9), [], {})
    for second in (30, 31):
        ring.add(entry(second))
    finish(ring, 32)
    assert path is not None
    times = [(each.log_ns - CLOCK_NS) // 10**9 for each in read_entries(path)]
    assert times == [*range(19, 30), 30, 31]
    for second in range(60, 70):
        ring.add(entry(second, 300_000))
    assert ring._bytes <= 1_000_000
    for number in range(40):
        at_s = 100.0 + 10 * number
        ring.add(Entry("/x", CLOCK_NS + int(at_s * 1e9), np.random.default_rng(number).bytes(300_000)))
        ring.alert(f"n{number}", CLOCK_NS + int(at_s * 1e9), [], {})
        finish(ring, at_s + 5)
    files = list((tmp_path / "evidence").iterdir())
    assert sum(each.stat().st_size for each in files) <= 8_000_000
    assert evidence_of(tmp_path / "evidence", "n39") is not None
    assert evidence_of(tmp_path / "evidence", "a") is None
