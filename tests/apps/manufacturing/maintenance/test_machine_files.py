"""What recordings may look like, and what is said of those that cannot be read."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from apps.manufacturing.maintenance.columns import Columns
from apps.manufacturing.maintenance.cwru import read_file
from apps.manufacturing.maintenance.cyclefile import read_test, read_train, subsets_in
from apps.manufacturing.maintenance.npzfile import open_npz, write_npz
from apps.manufacturing.maintenance.recording import GRAVITY_MPS2, Block, MachineChunk
from apps.manufacturing.maintenance.sources import machine_player, open_simulation, recordings_at
from edgeai_core.clock import VirtualClock
from edgeai_core.errors import InputError
from edgeai_core.sensors.player import Player
from edgeai_core.testing import check_source

NO_COLUMNS = Columns()


def cycles(units: int = 2, length: int = 5) -> str:
    """A table in the layout of C-MAPSS."""
    lines = [
        " ".join(map(str, [unit, cycle, *[0.1] * 3, *[float(unit + cycle)] * 21]))
        for unit in range(1, units + 1)
        for cycle in range(1, length + 1)
    ]
    return "\n".join(lines) + "\n"


def test_cycles_are_read_packed_or_not_and_say_the_same(tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    for folder in (plain, packed):
        folder.mkdir()
    for stem, text in (("train_FD001", cycles()), ("test_FD001", cycles()), ("RUL_FD001", "7\n8\n")):
        (plain / f"{stem}.txt").write_text(text)
        (packed / f"{stem}.txt.xz").write_bytes(lzma.compress(text.encode()))
    assert subsets_in(plain) == subsets_in(packed) == ["FD001"]
    for one, other in zip(read_train(plain, "FD001"), read_train(packed, "FD001"), strict=True):
        np.testing.assert_array_equal(one.sensors, other.sensors)
        assert one.remaining == other.remaining == 0
    assert [unit.remaining for unit in read_test(packed, "FD001")] == [7, 8]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty"),
        ("1 2 3\n", "line 1 has 3 columns, not 26"),
        (cycles().replace("0.1", "x", 1), "line 1 holds something that is no number"),
        (cycles() + cycles(1), "unit"),
        ("\x00\xff" * 30, "columns"),
    ],
)
def test_a_damaged_table_is_refused_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "train_FD001.txt").write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=complaint):
        read_train(tmp_path, "FD001")


def test_true_lives_that_do_not_fit_the_engines_are_refused(tmp_path: Path) -> None:
    (tmp_path / "test_FD001.txt").write_text(cycles())
    (tmp_path / "RUL_FD001.txt").write_text("7\n")
    with pytest.raises(InputError, match="has 1 lines for 2 units"):
        read_test(tmp_path, "FD001")
    (tmp_path / "RUL_FD001.txt.xz").write_bytes(b"no xz")
    (tmp_path / "RUL_FD001.txt").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        read_test(tmp_path, "FD001")


def cwru(path: Path, **changes: object) -> Path:
    fields: dict[str, object] = {
        "de": np.arange(3000, dtype=np.int16), "de_scale": 1e-3, "fs": 12_000, "rpm": 1750, "fault": "ball",
        "size_inch": 0.007, "load_hp": 2,
    }  # fmt: skip
    fields |= changes
    np.savez(path, **{name: np.array(value) for name, value in fields.items() if value is not None})
    return path


def test_a_bearing_recording_in_g_comes_in_metres_per_second_squared(tmp_path: Path) -> None:
    block = next(open_npz(cwru(tmp_path / "a.npz")).blocks)
    assert block.vibration[10, 0] == pytest.approx(10e-3 * GRAVITY_MPS2)
    assert block.slow["rpm"] == 1750
    file = read_file(tmp_path / "a.npz")
    assert (file.fault, file.load_hp, file.bearing) == ("ball", 2, "ball 0.007")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"rpm": 0}, "0 rpm"),
        ({"rpm": float("nan")}, "`rpm` is no finite number"),
        ({"rpm": None}, "`rpm` is missing"),
        ({"fault": "tired"}, "`fault` is 'tired'"),
        ({"de": np.zeros((3, 3))}, "`de`"),
        ({"fs": 3}, "right"),
    ],
)
def test_a_label_that_makes_no_sense_is_refused_with_the_files_name(
    tmp_path: Path, changes: dict[str, object], complaint: str
) -> None:
    with pytest.raises(InputError, match=rf"a\.npz.*{complaint}"):
        read_file(cwru(tmp_path / "a.npz", **changes))


def test_a_file_that_holds_objects_or_nothing_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", de=np.array([{}], dtype=object))
    (tmp_path / "empty.npz").write_bytes(b"")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    for name, complaint in (("objects", "damaged"), ("empty", "damaged"), ("other", "neither")):
        with pytest.raises(InputError, match=complaint):
            open_npz(tmp_path / f"{name}.npz")


def test_bursts_survive_the_way_to_disk_and_back(tmp_path: Path) -> None:
    vibration = np.random.default_rng(0).standard_normal((500, 2)).astype(np.float32)
    blocks = [Block(vibration * n, {"hours": float(n), "rpm": 1500.0}) for n in (1, 2, 3)]
    write_npz(tmp_path / "a.npz", blocks, 5000.0, play_s=1.0, simulated=True)
    recording = open_npz(tmp_path / "a.npz")
    back = list(recording.blocks)
    assert recording.bursts
    assert recording.simulated
    assert [block.slow["hours"] for block in back] == [1, 2, 3]
    np.testing.assert_allclose(back[1].vibration, vibration * 2, atol=1e-3)


def test_a_table_is_read_by_the_columns_that_the_configuration_names(tmp_path: Path) -> None:
    lines = ["ax,speed,T"] + [f"{n / 1000},1480,{'' if n == 5 else 40}" for n in range(300)]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    columns = Columns(vibration=("ax",), unit="g", rate_hz=2000, rpm="speed", temperature_c="T")
    (opener,) = recordings_at(tmp_path / "a.csv", columns)
    recording = opener()
    first = next(recording.blocks)
    recording.close()
    assert first.vibration[1, 0] == pytest.approx(0.001 * GRAVITY_MPS2)
    assert (first.slow["rpm"], first.slow["temperature_c"]) == (1480, 40)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("a,b\n1,2\n", "has no column ax"), ("ax\n1,2\n", "line 2 has 2 cells"), ("", "0 names of columns")],
)
def test_a_table_without_its_columns_says_what_it_has(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    columns = Columns(vibration=("ax",), rate_hz=2000)
    source = machine_player(recordings_at(tmp_path / "a.csv", columns))
    clock = VirtualClock()
    with pytest.raises(InputError, match=complaint):
        source.open(clock)
    source.close()


def test_vibration_without_its_rate_and_one_column_twice_are_refused() -> None:
    with pytest.raises(ValidationError, match="needs rate_hz"):
        Columns(vibration=("ax",))
    with pytest.raises(ValidationError, match="cannot be two quantities"):
        Columns(vibration=("rpm",), rate_hz=5000)


def test_a_path_that_holds_no_recording_is_refused_before_anything_starts(tmp_path: Path) -> None:
    for path, complaint in ((tmp_path, "no recording in this folder"), (tmp_path / "x.npz", "no such file")):
        with pytest.raises(InputError, match=complaint):
            recordings_at(path, NO_COLUMNS)


def test_the_simulated_machine_keeps_the_contract_of_a_source() -> None:
    def source() -> Player[MachineChunk]:
        return machine_player(
            (lambda: open_simulation(3, "ball", rate_hz=5000, channels=2, every_h=200, burst_s=0.1),)
        )

    check_source(source)
