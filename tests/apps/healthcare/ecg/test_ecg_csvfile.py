"""The CSV format for electrocardiograms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.healthcare.ecg.csvfile import MAX_LINE_CHARACTERS, open_csv, write_csv
from edgeai_core.errors import InputError


def read(path: Path) -> np.ndarray:
    recording = open_csv(path)
    try:
        return np.concatenate(list(recording.blocks))
    finally:
        recording.close()


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@given(
    st.lists(
        st.tuples(*[st.one_of(st.just(float("nan")), st.floats(-900, 900, width=32))] * 2),
        min_size=1,
        max_size=50,
    )
)
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, ...]]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    write_csv(path, np.array(rows), 360.0, ["II", "V1"])
    recording = open_csv(path)
    assert (recording.rate_hz, recording.lead_names, recording.name) == (360.0, ("II", "V1"), "a")
    np.testing.assert_allclose(np.concatenate(list(recording.blocks)), rows, atol=6e-4)
    recording.close()


def test_empty_cells_and_nan_are_values_the_device_did_not_give(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "# rate_hz: 250\nII,V1\n0.1,\n,nan\n 0.3 , 0.4 \n")
    np.testing.assert_allclose(read(path), [[0.1, np.nan], [np.nan, np.nan], [0.3, 0.4]], rtol=1e-6)


@pytest.mark.parametrize("simulated", [True, False])
def test_a_made_recording_says_that_it_is_made(tmp_path: Path, simulated: bool) -> None:
    write_csv(tmp_path / "a.csv", np.zeros((3, 1)), 250.0, ["II"], simulated=simulated)
    recording = open_csv(tmp_path / "a.csv")
    assert recording.simulated is simulated
    recording.close()


def test_remarks_windows_line_ends_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(
        b"\xef\xbb\xbf# made by hand\r\n# rate_hz: 250\r\nII\r\n0.1\r\n# a remark\r\n\r\n0.2\r\n"
    )
    np.testing.assert_allclose(read(path), [[0.1], [0.2]], rtol=1e-6)


@pytest.mark.parametrize("decimals", [3, 6])
def test_the_rate_comes_from_the_times_however_they_are_rounded(tmp_path: Path, decimals: int) -> None:
    rows = "".join(f"{n / 360:.{decimals}f},0.5\n" for n in range(720))
    path = written(tmp_path / "a.csv", "time_s,II\n" + rows)
    assert open_csv(path).rate_hz == pytest.approx(360.0, rel=2e-3)
    assert len(read(path)) == 720


def test_a_jump_in_time_is_filled_with_missing_samples(tmp_path: Path) -> None:
    times = [n / 250 for n in range(500)] + [n / 250 for n in range(750, 1000)]
    path = written(tmp_path / "a.csv", "time_s,II\n" + "".join(f"{t:.4f},0.5\n" for t in times))
    samples = read(path)
    assert len(samples) == 1000
    assert np.isnan(samples[500:750]).all()
    assert not np.isnan(samples[:500]).any()


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", "", "empty"),
        ("# rate_hz: 250\n", "", "empty"),
        ("# rate_hz: 250\nII,V1\n", "", "no sample"),
        ("II,V1\n0.1,0.2\n", ":1:", "the rate is not said"),
        ("# rate_hz: fast\nII\n0.1\n", ":1:", "not a number"),
        ("# rate_hz: -5\nII\n0.1\n", ":1:", "positive"),
        ("# rate_hz: 20\nII\n0.1\n", "", "sampled at 20 Hz"),
        ("# rate_hz: 250\nII,II\n0.1,0.2\n", ":2:", "one name"),
        ("# rate_hz: 250\n0.1,0.2\n0.1,0.2\n", ":2:", "found numbers"),
        ("# rate_hz: 250\nII,,V1\n1,2,3\n", ":2:", "names"),
        ("# rate_hz: 250\nII,V1\n0.1,0.2\n0.1\n", ":4:", "1 cells where the head names 2"),
        ("# rate_hz: 250\nII\n0.1\nzero\n", ":4:", "'zero' is not a number"),
        ("# rate_hz: 250\nII\n0.1\ninf\n", ":4:", "mV"),
        ("# rate_hz: 250\nII\n20480\n", ":3:", "microvolts or raw counts"),
        ("time_s,II\n0.0,1\n0.004,1\n0.008,1\n0.012,1\n0.010,1\n", ":6:", "goes back"),
        ("time_s,II\n0.0,1\n0.0,1\n0.0,1\n", ":2:", "does not rise"),
        ("time_s,II\n0.0,1\n0.004,1\n0.008,1\n9999,1\n", ":5:", "missing before this row"),
        ("time_s,II\n,1\n0.004,1\n", ":2:", "without a time"),
        ("# rate_hz: 500\ntime_s,II\n0.0,1\n0.004,1\n0.008,1\n", ":3:", "rate_hz says 500"),
        ("# rate_hz: 250\n" + ",".join(f"L{n}" for n in range(13)) + "\n", ":2:", "1 to 12 leads"),
        ("# rate_hz: 250\nII\n" + "1" * (MAX_LINE_CHARACTERS + 1), ":3:", "longer than"),
    ],
)
def test_a_file_that_breaks_the_format_is_refused_with_its_line(
    tmp_path: Path, text: str, line: str, reason: str
) -> None:
    path = written(tmp_path / "bad.csv", text)
    with pytest.raises(InputError) as error:
        read(path)
    message = str(error.value)
    assert reason in message
    assert f"bad.csv{line}" in message if line else "bad" in message
    assert "\n" not in message


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\x00\x00", b"\xff\xfe\x00\x01" * 100])
def test_what_is_not_text_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "picture.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"picture\.csv: not UTF-8"):
        read(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        open_csv(tmp_path / "no.csv")
