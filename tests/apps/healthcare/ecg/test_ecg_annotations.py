"""Annotations of any WFDB folder become rhythms and beats in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.healthcare.ecg.annotations import (
    NOISE,
    OTHER,
    VF,
    VFL,
    VT,
    Interval,
    ecg_columns,
    find_records,
    fold,
    labels_from,
    read_header,
    read_labels,
    read_signal,
)
from edgeai_core.errors import InputError

wfdb = pytest.importorskip("wfdb", reason="needs the extra `wfdb`")


def write_record(
    folder: Path,
    name: str,
    *,
    rate_hz: int = 250,
    seconds: float = 10,
    names: tuple[str, ...] = ("II",),
    units: tuple[str, ...] | None = None,
    value: float = 0.5,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    samples = np.full((round(rate_hz * seconds), len(names)), float(value))
    samples[::2] = 0
    wfdb.wrsamp(
        name,
        fs=rate_hz,
        units=list(units or ("mV",) * len(names)),
        sig_name=list(names),
        p_signal=samples,
        fmt=["16"] * len(names),
        write_dir=str(folder),
    )
    return folder / name


def annotate(record: Path, extension: str, marks: list[tuple[float, str, str]], rate_hz: int = 250) -> None:
    wfdb.wrann(
        record.name,
        extension,
        np.array([round(t * rate_hz) for t, _, _ in marks]),
        [symbol for _, symbol, _ in marks],
        aux_note=[note for _, _, note in marks],
        fs=rate_hz,
        write_dir=str(record.parent),
    )


def rhythms(labels: object) -> list[tuple[float, float, str]]:
    return [(i.start_s, i.end_s, i.rhythm) for i in labels.rhythms]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("note", "rhythm"),
    [
        ("(VF", VF), ("(VFIB\0", VF), ("(vf ", VF), ("(VFL", VFL), ("(VT\0", VT), ("(N", "N"), ("(NSR", "N"),
        ("(PM", "P"), ("(P", "P"), ("(BI", "BI"), ("(B", "B"), ("(NOISE", NOISE), ("(AFIB", "AFIB"),
    ],
)  # fmt: skip
def test_spellings_of_one_rhythm_are_one(note: str, rhythm: str) -> None:
    assert fold(note) == rhythm


def test_a_rhythm_holds_until_the_next_label_or_the_end(tmp_path: Path) -> None:
    record = write_record(tmp_path, "r1")
    annotate(
        record,
        "atr",
        [(0.2, "+", "(N\0"), (3, "N", ""), (4, "+", "(VFIB"), (5, "+", "(VF"), (7, "+", "(NOISE")],
    )
    labels = read_labels(read_header(record))
    assert labels.rhythms_from == "rhythm labels"
    assert rhythms(labels) == [(0.2, 4, "N"), (4, 7, VF), (7, 10, NOISE)]
    assert labels.beat_s.tolist() == [3]


def test_beats_alone_tell_runs_of_vt_by_the_definition() -> None:
    slow = [(1.0 + 0.8 * i, "V") for i in range(4)]
    pair = [(6.0, "V"), (6.3, "V")]
    run = [(10.0 + 0.4 * i, "V") for i in range(5)]
    normal = [(5.0, "N"), (8.0, "N"), (13.0, "N")]
    marks = sorted(slow + pair + run + normal)
    labels = labels_from("atr", np.array([t for t, _ in marks]), [s for _, s in marks], [""] * len(marks), 20)
    assert labels.rhythms_from == "beat labels"
    assert [each.rhythm for each in labels.rhythms] == [OTHER, VT, OTHER]
    assert (labels.rhythms[1].start_s, labels.rhythms[1].end_s) == pytest.approx((9.8, 11.8))


def test_brackets_are_flutter_even_when_never_closed() -> None:
    labels = labels_from("atr", np.array([1.0, 4.0, 5.0, 6.0, 8.0]), ["N", "[", "!", "]", "["], [""] * 5, 10)
    assert rhythms(labels) == [(0, 4, OTHER), (4, 6, VFL), (6, 8, OTHER), (8, 10, VFL)]
    assert labels.flutter == (Interval(4, 6, VFL), Interval(8, 10, VFL))
    assert labels.beat_s.tolist() == [1]


def test_a_label_of_vf_is_not_overwritten_by_brackets() -> None:
    labels = labels_from("atr", np.array([0.0, 3.0, 3.0]), ["+", "+", "["], ["(N", "(VF", ""], 10)
    assert rhythms(labels) == [(0, 3, "N"), (3, 10, VF)]


def test_a_detector_tells_beats_but_no_rhythm(tmp_path: Path) -> None:
    record = write_record(tmp_path, "r1")
    annotate(record, "qrs", [(1, "N", ""), (2, "N", "")])
    labels = read_labels(read_header(record))
    assert (labels.annotator, labels.rhythms_from, labels.rhythms) == ("qrs", "none", ())
    assert labels.beat_s.tolist() == [1, 2]


def test_st_changes_are_no_rhythms() -> None:
    labels = labels_from("atr", np.array([1.0, 2.0]), ["N", "s"], ["", "(ST0+"], 10)
    assert labels.rhythms_from == "beat labels"


def test_a_record_without_annotations_has_no_labels(tmp_path: Path) -> None:
    labels = read_labels(read_header(write_record(tmp_path, "r1")))
    assert (labels.annotator, labels.rhythms, labels.beat_s.size) == (None, (), 0)


def test_a_damaged_annotation_file_is_named(tmp_path: Path) -> None:
    record = write_record(tmp_path, "r1")
    (tmp_path / "r1.atr").write_bytes(b"\x01")
    with pytest.raises(InputError, match=r"r1\.atr"):
        read_labels(read_header(record))


def test_ecg_leads_are_picked_among_other_signals(tmp_path: Path) -> None:
    record = write_record(
        tmp_path, "r1", names=("ABP", "MCL1", "RESP", "V"), units=("mmHg", "mV", "mV", "mV")
    )
    header = read_header(record)
    assert header.ecg_leads == (1, 3)
    assert read_signal(header).shape == (2500, 2)


def test_leads_without_a_known_name_count_when_they_are_voltages() -> None:
    assert ecg_columns(("first", "pressure", "second"), ("mV", "mmHg", "uV")) == (0, 2)
    assert ecg_columns(("ECG", "ECG"), ("mV", "mV")) == (0, 1)


def test_microvolts_become_millivolts(tmp_path: Path) -> None:
    header = read_header(write_record(tmp_path, "r1", units=("uV",), value=500))
    assert read_signal(header).max() == pytest.approx(0.5, abs=1e-3)


def test_records_are_found_in_subfolders_once(tmp_path: Path) -> None:
    write_record(tmp_path / "a", "r1")
    write_record(tmp_path / "b" / "c", "r2")
    found = find_records([tmp_path, tmp_path / "a", tmp_path / "a" / "r1"])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["a/r1", "b/c/r2"]


def test_segments_of_a_record_are_not_records(tmp_path: Path) -> None:
    for name in ("m_1", "m_2"):
        write_record(tmp_path, name)
    (tmp_path / "m.hea").write_text("m/2 1 250 5000\nm_1 2500\nm_2 2500\n")
    assert [path.name for path in find_records([tmp_path])] == ["m"]
    assert read_signal(read_header(tmp_path / "m")).shape == (5000, 1)


@pytest.mark.parametrize("content", ["", "no header", "r1 1 250\n", "r1 1 x 100\nr1.dat 16\n"])
def test_a_bad_header_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "r1.hea").write_text(content)
    with pytest.raises(InputError, match=r"r1\.hea"):
        read_header(tmp_path / "r1")


def test_a_truncated_signal_is_named(tmp_path: Path) -> None:
    record = write_record(tmp_path, "r1")
    whole = (tmp_path / "r1.dat").read_bytes()
    (tmp_path / "r1.dat").write_bytes(whole[:100])
    with pytest.raises(InputError, match="r1"):
        read_signal(read_header(record))


def test_folders_that_hold_nothing_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        find_records([tmp_path / "absent"])
    with pytest.raises(InputError, match="no WFDB record"):
        find_records([tmp_path])


@given(
    st.lists(st.tuples(st.floats(0, 100), st.sampled_from(["+", "N", "V", "[", "]", "!", "~"])), max_size=40)
)
def test_rhythms_never_overlap_and_stay_in_order(marks: list[tuple[float, str]]) -> None:
    marks = sorted(marks)
    notes = ["(VT" if symbol == "+" else "" for _, symbol in marks]
    labels = labels_from("atr", np.array([t for t, _ in marks]), [s for _, s in marks], notes, 100)
    edges = [edge for each in labels.rhythms for edge in (each.start_s, each.end_s)]
    assert edges == sorted(edges)
    assert all(each.duration_s > 0 for each in labels.rhythms)
