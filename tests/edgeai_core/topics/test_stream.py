"""Streams between processes: whole items or none, honest gaps, and no reader that holds up a writer."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from edgeai_core.clock import MonotonicClock
from edgeai_core.decision import Decision
from edgeai_core.errors import ConfigError, InputError, SensorError
from edgeai_core.loop.cycle import Cycle
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import Input, Stream
from edgeai_core.sample import Reading
from edgeai_core.sensors.mailbox import Mailbox
from edgeai_core.topics import ring as ring_module
from edgeai_core.topics.message import decode_apart, encode_apart
from edgeai_core.topics.ring import RingReader, RingWriter, ring_folder, sweep_rings
from edgeai_core.topics.stream import RingSink, RingSource, ring_path


@dataclass(frozen=True)
class Picture:
    pixels: NDArray[np.uint8]
    exposure_s: float = 0.0
    note: str = ""


CLOCK = MonotonicClock()
CAMERA = Stream(Picture, max_bytes=1 << 20, depth=4)
TOPIC = "car.sim/camera"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    """A run folder whose rings go away with the test, whatever it left behind."""
    yield tmp_path
    shutil.rmtree(ring_folder(tmp_path), ignore_errors=True)


def cycle(*readings: Reading[Any], stream: str = "camera") -> Cycle[None]:
    snapshot = Snapshot(1, 1_000, 1_000, 0, {})
    return Cycle("sim", snapshot, Decision(None, streams={stream: readings}), 1_000, 2_000)


def picture(value: int, size: int = 100) -> Picture:
    return Picture(np.full((size, size, 3), value, np.uint8), 0.01, f"frame {value}")


def sink(run: Path, stream: Stream = CAMERA) -> RingSink:
    return RingSink(run, "car", "sim", {"camera": stream})


def source(run: Path) -> RingSource[Picture]:
    opened = RingSource(run, TOPIC, Picture)
    opened.open(CLOCK)
    return opened


def all_of(opened: RingSource[Picture]) -> list[Reading[Picture]]:
    found = []
    while (reading := opened.read(0.0)) is not None:
        found.append(reading)
    return found


def test_an_item_arrives_as_its_own_type_with_its_stamps_and_read_only_arrays(run: Path) -> None:
    with closing(source(run)) as reader, closing(sink(run)) as writer:
        writer.put(cycle(Reading(picture(7), 123, 41), Reading(picture(8), 124, 42)))
        one, two = reader.read(5.0), reader.read(5.0)
        assert one is not None
        assert two is not None
        assert (one.time_ns, one.sequence, two.time_ns, two.sequence) == (123, 41, 124, 42)
        assert (one.data.exposure_s, one.data.note) == (0.01, "frame 7")
        np.testing.assert_array_equal(one.data.pixels, picture(7).pixels)
        assert not one.data.pixels.flags.writeable
        for value in range(20):  # what was handed out is the reader's own: later items do not change it
            writer.put(cycle(Reading(picture(value))))
        np.testing.assert_array_equal(two.data.pixels, picture(8).pixels)


@given(
    arrays.arrays(
        st.sampled_from([np.uint8, np.float32, np.float64, np.int64, np.bool_]),
        arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=6),
    ),
    st.booleans(),
)
def test_any_array_survives_whatever_its_shape_and_layout(array: NDArray[Any], transposed: bool) -> None:
    value = array.T if transposed else array
    message, apart, size = encode_apart({"a": value, "b": [1, value]})
    memory = bytearray(size)
    for offset, each in apart:
        memory[offset : offset + each.nbytes] = each.tobytes()
    back = decode_apart(message, memoryview(memory).toreadonly())
    for got in (back["a"], back["b"][1]):
        assert got.dtype == value.dtype
        np.testing.assert_array_equal(got, value)


def test_a_message_that_points_outside_its_memory_is_refused() -> None:
    message, _, size = encode_apart(np.zeros(100))
    with pytest.raises(InputError, match="does not lie in"):
        decode_apart(message, memoryview(bytes(size - 1)))


def test_a_slow_reader_loses_the_oldest_and_the_loss_is_counted(run: Path) -> None:
    camera: Input[Picture] = Input(TOPIC, history="new", depth=50)
    mailbox = Mailbox([camera], CLOCK)
    with closing(source(run)) as reader, closing(sink(run)) as writer:
        writer.put(cycle(Reading(picture(0))))
        for reading in all_of(reader):
            mailbox.put(TOPIC, reading)
        for value in range(1, 31):
            writer.put(cycle(Reading(picture(value))))
        kept = all_of(reader)
        for reading in kept:
            mailbox.put(TOPIC, reading)
    assert [int(each.data.pixels[0, 0, 0]) for each in kept] == [26, 27, 28, 29, 30]
    _, views = mailbox.views()
    assert views[TOPIC].lost == 25


def test_every_reader_gets_every_item_and_none_waits_for_another(run: Path) -> None:
    readers = [source(run) for _ in range(3)]
    with closing(sink(run)) as writer:
        writer.put(cycle(*(Reading(picture(value)) for value in range(3))))
        for reader in readers:
            assert [int(each.data.pixels[0, 0, 0]) for each in all_of(reader)] == [0, 1, 2]
            reader.close()


def test_a_reader_that_comes_late_gets_the_newest_of_a_writer_that_lives_and_nothing_of_a_dead_one(
    run: Path,
) -> None:
    with closing(sink(run)) as writer:
        writer.put(cycle(Reading(picture(1)), Reading(picture(2))))
        with closing(source(run)) as late:
            assert [int(each.data.pixels[0, 0, 0]) for each in all_of(late)] == [2]
        writer._rings["camera"].writer._path = run / "elsewhere"  # its ring stays, as after kill -9
    assert ring_path(run, TOPIC).exists()
    with closing(source(run)) as later:
        assert all_of(later) == []
    sweep_rings(run)
    assert not ring_folder(run).exists()


def test_a_restart_of_the_writer_is_flagged_and_never_reads_as_a_loss(run: Path) -> None:
    camera: Input[Picture] = Input(TOPIC, history="new", depth=50)
    mailbox = Mailbox([camera], CLOCK)
    with closing(source(run)) as reader:
        for start in (0, 1000, 5):  # its own counter may go on, jump or fall
            with closing(sink(run)) as writer:
                writer.put(cycle(*(Reading(picture(n), None, start + n) for n in range(3))))
                for reading in all_of(reader):
                    mailbox.put(TOPIC, reading)
    _, views = mailbox.views()
    samples = views[TOPIC].samples
    assert [sample.restarted for sample in samples] == [False] * 3 + [True, False, False] * 2
    assert sum(sample.lost for sample in samples) == 0


def test_a_reader_that_failed_and_opens_again_goes_on_where_it_was(run: Path) -> None:
    with closing(sink(run)) as writer:
        reader = source(run)
        writer.put(cycle(Reading(picture(1))))
        assert len(all_of(reader)) == 1
        reader.close()
        writer.put(cycle(Reading(picture(2))))
        reader.open(CLOCK)
        assert [int(each.data.pixels[0, 0, 0]) for each in all_of(reader)] == [2]
        reader.close()


def test_a_slot_that_is_being_read_is_left_alone_and_when_all_are_the_writer_goes_on(run: Path) -> None:
    path = ring_path(run, TOPIC)
    with closing(RingWriter(path, 2, 1000)) as writer:
        assert writer.write(b"one", [], 0)
        assert writer.write(b"two", [], 0)
        descriptor = os.open(path, os.O_RDONLY)
        for slot in range(2):
            assert ring_module._lock(descriptor, ring_module.fcntl.F_RDLCK, 4096 + slot * writer._stride)
        assert not writer.write(b"three", [], 0)
        assert writer.dropped == 1
        os.close(descriptor)  # the reader dies: the kernel lets go
        assert writer.write(b"four", [], 0)
        with closing(RingReader(path, after=0)) as reader:
            assert [item[1] for item in iter(reader.next, None)] == [b"two", b"four"]


def test_no_reader_ever_sees_half_an_item(run: Path) -> None:
    """Two readers beside a writer that overwrites as fast as it can: every picture is of one value."""
    torn, seen = [], [0, 0]
    over = threading.Event()
    opened = [source(run), source(run)]

    def read(which: int) -> None:
        while not over.is_set():
            reading = opened[which].read(0.05)
            if reading is not None:
                seen[which] += 1
                pixels = reading.data.pixels
                if pixels.min() != pixels.max() or reading.data.note != f"frame {pixels[0, 0, 0]}":
                    torn.append(reading.data.note)

    threads = [threading.Thread(target=read, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    with closing(sink(run, Stream(Picture, 1 << 20, depth=2))) as writer:
        number = 0
        while min(seen) < 30 and number < 20_000:
            number += 1
            writer.put(cycle(Reading(picture(number % 256, 400))))
        over.set()
        for thread in threads:
            thread.join()
    for reader in opened:
        reader.close()
    assert torn == []
    assert min(seen) >= 30


WRITER = """
import sys, numpy as np
from pathlib import Path
from edgeai_core.loop.spec import Stream
from edgeai_core.topics.message import encode_apart
from edgeai_core.topics.ring import RingWriter
writer = RingWriter(Path(sys.argv[1]), 3, 4_000_000)
print("ready", flush=True)
number = 0
while True:
    number = (number + 1) % 256
    writer.write(*encode_apart(np.full(3_000_000, number, np.uint8)))
"""


def test_a_writer_killed_while_it_writes_leaves_whole_items_alone(run: Path) -> None:
    path = ring_path(run, TOPIC)
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        with closing(RingReader(path, after=0)) as reader:
            while reader.next() is None:
                pass
            child.send_signal(signal.SIGKILL)
            child.wait()
            child.stdout.close()
            assert not reader.written_to
            while (item := reader.next()) is not None:
                array = decode_apart(item[1], item[2])
                assert array.min() == array.max()
    with closing(RingWriter(path, 3, 100)) as after:  # and its successor takes over
        assert after.write(b"again", [], 0)


def test_what_is_too_large_or_undeclared_is_refused_and_the_loop_goes_on(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(source(run)) as reader, closing(sink(run)) as writer:
        writer.put(cycle(Reading(picture(1, 700))))
        writer.put(cycle(Reading(picture(1, 700))))
        writer.put(cycle(Reading(picture(1)), stream="lidar"))
        writer.put(cycle(Reading(object())))
        writer.put(cycle(Reading(picture(2))))
        assert writer.refused == 4
        assert [int(each.data.pixels[0, 0, 0]) for each in all_of(reader)] == [2]
    assert "too large" in caplog.text
    assert "car.sim/lidar: its loop does not declare it" in caplog.text
    assert len(caplog.records) == 2  # the first of each stream


def test_shared_memory_that_is_too_small_says_how_much_is_needed(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(ring_module.errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ConfigError, match=r"car\.sim\.camera.*5 MiB of shared memory.*MiB free.*--shm-size"):
        sink(run)
    assert list(ring_folder(run).iterdir()) == []


def test_a_folder_that_another_user_could_have_made_is_not_trusted(run: Path) -> None:
    folder = ring_folder(run)
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    with pytest.raises(ConfigError, match="not a folder of this user alone"):
        sink(run)


def test_a_file_that_is_no_ring_and_an_item_of_another_type_are_sensor_errors(run: Path) -> None:
    ring_folder(run).mkdir(parents=True, mode=0o700)
    ring_path(run, TOPIC).write_bytes(b"x" * 10_000)
    reader: RingSource[Picture] = RingSource(run, TOPIC, Picture)
    with pytest.raises(SensorError, match="before it was opened"):
        reader.read(0.0)
    with pytest.raises(SensorError, match="not a ring of this release"):
        reader.open(CLOCK)
    reader.close()
    with closing(source_after_writer(run, Reading({"exposure_s": 1.0}))) as other:
        with pytest.raises(SensorError, match=r"car\.sim/camera"):
            other.read(1.0)
        assert other.read(0.0) is None


def source_after_writer(run: Path, reading: Reading[Any]) -> RingSource[Picture]:
    writer = sink(run)
    reader = source(run)
    writer.put(cycle(reading))
    writer.close()
    return reader
