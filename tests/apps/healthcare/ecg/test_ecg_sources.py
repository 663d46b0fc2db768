"""What plays recordings and the simulated patient."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from apps.healthcare.ecg.csvfile import write_csv
from apps.healthcare.ecg.recording import Recording
from apps.healthcare.ecg.sources import EcgChunk, ecg_player, open_wfdb, recordings_at
from edgeai_core.clock import VirtualClock
from edgeai_core.errors import EndOfStream, InputError, SensorError
from edgeai_core.sample import Reading
from edgeai_core.sensors.player import Player


def ramp(name: str = "ramp", rate_hz: float = 250.0, samples: int = 110, block: int = 40) -> Recording:
    values = np.arange(samples, dtype=np.float32)[:, None] / 1000

    def blocks() -> Iterator[np.ndarray]:
        for first in range(0, samples, block):
            yield values[first : first + block]

    return Recording(name, rate_hz, ("II",), blocks())


def read_all(
    source: Player[EcgChunk], clock: VirtualClock, limit: int = 1000
) -> list[tuple[int, Reading[EcgChunk]]]:
    out = []
    for _ in range(limit):
        try:
            reading = source.read(1.0)
        except EndOfStream:
            return out
        if reading is not None:
            out.append((clock.now_ns(), reading))
    return out


def test_a_chunk_comes_when_its_last_sample_is_due_and_is_stamped_so() -> None:
    clock = VirtualClock(5_000)
    source = ecg_player((ramp,), chunk_s=0.1)
    source.open(clock)
    readings = read_all(source, clock)
    assert [at for at, _ in readings] == [reading.time_ns for _, reading in readings]
    assert [reading.time_ns for _, reading in readings] == [
        5_000 + round(n / 250 * 1e9) for n in (25, 50, 75, 100, 110)
    ]


def test_the_sequence_counts_samples_without_a_gap() -> None:
    clock = VirtualClock()
    source = ecg_player((ramp, ramp), chunk_s=0.1)
    source.open(clock)
    readings = [reading for _, reading in read_all(source, clock)]
    assert readings[-1].sequence == 219
    for before, after in pairwise(readings):
        assert after.sequence is not None
        assert before.sequence is not None
        assert after.sequence - after.count == before.sequence


def test_every_sample_is_played_once_in_order_whatever_the_blocks() -> None:
    for block in (1, 7, 40, 1000):
        clock = VirtualClock()
        source = ecg_player((lambda block=block: ramp(block=block),), chunk_s=0.1)
        source.open(clock)
        played = np.concatenate([reading.data.samples_mv for _, reading in read_all(source, clock)])
        np.testing.assert_array_equal(played[:, 0], np.arange(110, dtype=np.float32) / 1000)


def test_a_read_returns_nothing_when_no_chunk_is_due_in_time() -> None:
    clock = VirtualClock()
    source = ecg_player((ramp,), chunk_s=0.1)
    source.open(clock)
    assert source.read(0.05) is None
    assert clock.now_ns() == 50_000_000
    reading = source.read(0.05)
    assert reading is not None
    assert reading.time_ns == 100_000_000


def test_chunks_are_read_only() -> None:
    source = ecg_player((ramp,))
    source.open(VirtualClock())
    reading = source.read(1.0)
    assert reading is not None
    with pytest.raises(ValueError, match="read-only"):
        reading.data.samples_mv[0, 0] = 1.0


def test_recordings_follow_each_other_and_repeat_for_ever_when_asked() -> None:
    clock = VirtualClock()
    source = ecg_player((lambda: ramp("a"), lambda: ramp("b", rate_hz=500.0)), chunk_s=0.5, repeat=True)
    source.open(clock)
    readings = read_all(source, clock, limit=8)
    assert [(r.data.recording, r.data.first_index) for _, r in readings[:4]] == [
        ("a", 0), ("b", 0), ("a", 0), ("b", 0),
    ]  # fmt: skip
    assert [at for at, _ in readings[:3]] == [440_000_000, 660_000_000, 1_100_000_000]


def test_a_repeated_recording_without_samples_ends_instead_of_spinning() -> None:
    source = ecg_player((lambda: Recording("none", 250.0, ("II",), iter(())),), repeat=True)
    source.open(VirtualClock())
    with pytest.raises(EndOfStream):
        source.read(1.0)


def test_a_source_can_be_opened_again_after_close() -> None:
    clock = VirtualClock()
    source = ecg_player((ramp,))
    for _ in range(2):
        source.open(clock)
        assert len(read_all(source, clock)) == 5
        source.close()
    with pytest.raises(SensorError):
        source.read(0.1)


def test_a_folder_is_its_recordings_by_name(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_csv(tmp_path / f"{name}.csv", np.zeros((10, 1)), 250.0, ["II"])
    (tmp_path / "a.truth.json").write_text("{}")
    assert [opener().name for opener in recordings_at(tmp_path)] == ["a", "b"]


def test_leads_are_chosen_by_name_and_a_missing_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "three.csv"
    write_csv(path, np.array([[1.0, 2.0, 3.0]] * 4), 250.0, ["I", "II", "V1"])
    (opener,) = recordings_at(path, leads=["V1", "I"])
    recording = opener()
    assert recording.lead_names == ("V1", "I")
    np.testing.assert_array_equal(np.concatenate(list(recording.blocks)), [[3.0, 1.0]] * 4)
    with pytest.raises(InputError, match=r"no lead V9 \(it has I, II, V1\)"):
        recordings_at(path, leads=["V9"])[0]()


@pytest.mark.parametrize("name", ["nothing.csv", "nothing", "nothing.hea", "empty_folder"])
def test_a_path_without_a_recording_is_refused_in_words(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty_folder").mkdir()
    with pytest.raises(InputError, match=r"no such file|no recording"):
        recordings_at(tmp_path / name)


@pytest.mark.parametrize("rate_hz", [0.0, 50.0, 5000.0, float("nan"), float("inf")])
def test_a_rate_that_cannot_be_judged_is_refused(rate_hz: float) -> None:
    with pytest.raises(InputError, match="Hz"):
        ramp(rate_hz=rate_hz)


def write_record(folder: Path, name: str, samples: np.ndarray, **more: object) -> Path:
    wfdb = pytest.importorskip("wfdb")
    settings: dict[str, object] = {
        "fs": 360, "units": ["mV"] * samples.shape[1], "sig_name": ["MLII", "V1", "RESP"][: samples.shape[1]],
        "p_signal": samples, "fmt": ["16"] * samples.shape[1],
        "adc_gain": [200.0] * samples.shape[1], "baseline": [0] * samples.shape[1],
    }  # fmt: skip
    settings.update(more)
    wfdb.wrsamp(name, write_dir=str(folder), **settings)
    return folder / name


@pytest.mark.parametrize("suffix", ["", ".hea", ".dat"])
def test_a_wfdb_record_plays_its_ecg_leads_in_millivolts(tmp_path: Path, suffix: str) -> None:
    samples = np.column_stack([np.linspace(-1, 1, 720), np.linspace(500, -500, 720), np.linspace(1, 9, 720)])
    record = write_record(tmp_path, "100", samples, units=["mV", "uV", "mV"], adc_gain=[200.0, 0.2, 200.0])
    (opener,) = recordings_at(Path(f"{record}{suffix}"))
    recording = opener()
    assert (recording.rate_hz, recording.lead_names) == (360.0, ("MLII", "V1"))
    played = np.concatenate(list(recording.blocks))
    np.testing.assert_allclose(played[:, 0], samples[:, 0], atol=0.005)
    np.testing.assert_allclose(played[:, 1], samples[:, 1] / 1000, atol=0.005)


def test_missing_samples_of_a_wfdb_record_are_nan(tmp_path: Path) -> None:
    samples = np.zeros((360, 1))
    samples[100:200] = np.nan
    recording = open_wfdb(write_record(tmp_path, "gap", samples))
    assert np.isnan(np.concatenate(list(recording.blocks))[:, 0]).sum() == 100


def test_a_long_record_is_read_in_blocks_that_join_without_a_seam(tmp_path: Path) -> None:
    samples = np.sin(np.arange(2000) / 50)[:, None]
    record = write_record(tmp_path, "long", samples)
    blocks = list(open_wfdb(record, block_s=1.0).blocks)
    assert len(blocks) == 6
    np.testing.assert_allclose(np.concatenate(blocks), samples, atol=0.005)


def test_two_leads_of_one_name_can_be_told_apart(tmp_path: Path) -> None:
    record = write_record(tmp_path, "v", np.zeros((360, 2)), sig_name=["ECG", "ECH"])
    header = record.with_suffix(".hea")
    header.write_text(header.read_text().replace("ECH", "ECG"))
    assert open_wfdb(record).lead_names == ("ECG", "ECG 2")


def test_damaged_wfdb_files_are_refused_in_one_line(tmp_path: Path) -> None:
    record = write_record(tmp_path, "cut", np.zeros((3600, 1)))
    signal = record.with_suffix(".dat")
    signal.write_bytes(signal.read_bytes()[:1000])
    with pytest.raises(InputError, match="cut") as cut:
        open_wfdb(record)
    assert "\n" not in str(cut.value)
    signal.write_bytes(b"")
    with pytest.raises(InputError):
        open_wfdb(record)
    signal.unlink()
    with pytest.raises(InputError):
        open_wfdb(record)
    for junk in (b"", b"\x00\xff\x00", b"cut\n", b"this is a letter, not a header\n"):
        record.with_suffix(".hea").write_bytes(junk)
        with pytest.raises(InputError, match="cut") as error:
            open_wfdb(record)
        assert "\n" not in str(error.value)
