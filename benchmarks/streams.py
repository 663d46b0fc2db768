"""How long an image takes from one process to another and 8 bytes back, against common ways to send one.

``python -m benchmarks.streams [--bytes 1000000] [--rounds 5] [--items 300] [--json]``. The other side is a process of
its own; the ways take turns, so that all of them see the same machine. Every receiver ends up with a numpy array of
its own that nobody else changes. Steal time (what the hypervisor took) is printed beside the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import shared_memory
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.loop import steal_s
from edgeai_core.clock import MonotonicClock
from edgeai_core.decision import Decision
from edgeai_core.loop.cycle import Cycle
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import Stream
from edgeai_core.sample import Reading
from edgeai_core.topics.datagram import DatagramReceiver, DatagramSender
from edgeai_core.topics.ring import ring_folder
from edgeai_core.topics.stream import RingSink, RingSource

WAYS = {
    "ring": "edgeai stream (ring, one item as a dataclass)",
    "shm": "multiprocessing.shared_memory, copied in and out",
    "unix": "Unix stream socket",
    "pipe": "multiprocessing Pipe",
}
_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Image:
    """What is sent."""

    pixels: NDArray[np.uint8]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--items", type=int, default=300, help="per way and round")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--echo", nargs=2, metavar=("WAY", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.echo:
        ECHO[options.echo[0]](Path(options.echo[1]), options.bytes)
        return
    took: dict[str, list[float]] = {way: [] for way in WAYS}
    steal_before_s, started_s = steal_s(), time.monotonic()
    for _ in range(options.rounds):
        for way in WAYS:
            took[way] += measure(way, options.bytes, options.items)
    wall_s = time.monotonic() - started_s
    steal = (steal_s() - steal_before_s) / (wall_s * (os.cpu_count() or 1))
    table = {
        way: {name: float(np.percentile(each, q)) for name, q in (("p50_us", 50), ("p99_us", 99))}
        for way, each in took.items()
    }
    if options.json:
        print(json.dumps({"streams": table, "bytes": options.bytes, "steal_share": steal}))
        return
    print(
        f"{options.bytes} bytes there and 8 back between two processes, {options.rounds} x {options.items} items each;"
    )
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, steal {100 * steal:.2f} %")
    print(f"{'':52}{'median us':>10}{'p99 us':>9}{'to ring':>9}")
    for way, row in table.items():
        ratio = row["p50_us"] / table["ring"]["p50_us"]
        print(f"{WAYS[way]:52}{row['p50_us']:10.0f}{row['p99_us']:9.0f}{ratio:9.2f}")


def measure(way: str, size: int, items: int) -> list[float]:
    """Send ``items`` images one after the other; return the round trips in microseconds."""
    folder = Path(tempfile.mkdtemp(prefix="edgeai-streams-"))
    command = [sys.executable, "-m", "benchmarks.streams", "--bytes", str(size), "--echo", way, str(folder)]
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # a peer ends with a traceback when told to
    warm_up = 20
    try:
        with SEND[way](folder, size) as send:
            took = []
            for number in range(items + warm_up):
                image = np.full(size, number % 256, np.uint8)  # a new one each time, as a camera makes it
                begin_ns = time.perf_counter_ns()
                answer = send(image)
                took.append((time.perf_counter_ns() - begin_ns) / 1000)
                if answer != int(image[0]) + int(image[-1]):
                    raise RuntimeError(f"{way}: the image that came was not the one that was sent")
    finally:
        child.terminate()
        child.wait()
        shutil.rmtree(ring_folder(folder), ignore_errors=True)
        shutil.rmtree(folder)
    return took[warm_up:]


def _answer(pixels: NDArray[np.uint8]) -> bytes:
    return (int(pixels[0]) + int(pixels[-1])).to_bytes(8, "little")


def _number(answer: bytes | None) -> int:
    if answer is None:
        raise RuntimeError("no answer came")
    return int.from_bytes(answer, "little")


# -- edgeai


@contextmanager
def ring_send(folder: Path, size: int) -> Iterator[Callable[[NDArray[np.uint8]], int]]:
    """Send through a loop's own stream sink; the answer comes as a datagram."""
    answers = DatagramReceiver(folder / "answers")
    sink = RingSink(folder, "bench", "camera", {"image": Stream(Image, size)})
    while not list((folder / "topics").glob("*/*.sock")):
        time.sleep(0.01)

    def send(image: NDArray[np.uint8]) -> int:
        decision = Decision(None, streams={"image": (Reading(Image(image)),)})
        cycle: Cycle[Any] = Cycle("camera", Snapshot(0, 0, 0, 0, {}), decision, 0, 0)
        sink.put(cycle)
        return _number(answers.receive(_TIMEOUT_S))

    yield send
    sink.close()
    answers.close()


def ring_echo(folder: Path, size: int) -> None:
    """Answer every item of the stream."""
    answers = DatagramSender(folder / "answers")
    source = RingSource(folder, "bench.camera/image", Image)
    source.open(MonotonicClock())
    while True:
        reading = source.read(_TIMEOUT_S)
        if reading is not None:
            answers.send(_answer(reading.data.pixels))


# -- peers


@contextmanager
def connection_to(folder: Path) -> Iterator[Connection]:
    """Listen for the other side."""
    with Listener(os.fspath(folder / "pipe"), "AF_UNIX") as listener, listener.accept() as connection:
        yield connection


def connection_from(folder: Path) -> Connection:
    """Reach the other side, which may still be on its way."""
    while not (folder / "pipe").exists():
        time.sleep(0.01)
    return Client(os.fspath(folder / "pipe"), "AF_UNIX")


@contextmanager
def pipe_send(folder: Path, size: int) -> Iterator[Callable[[NDArray[np.uint8]], int]]:
    """Send over a connection of multiprocessing."""
    with connection_to(folder) as connection:

        def send(image: NDArray[np.uint8]) -> int:
            connection.send_bytes(image.data)
            return _number(connection.recv_bytes())

        yield send


def pipe_echo(folder: Path, size: int) -> None:
    """Answer what comes over the connection."""
    connection = connection_from(folder)
    while True:
        connection.send_bytes(_answer(np.frombuffer(connection.recv_bytes(), np.uint8)))


@contextmanager
def shm_send(folder: Path, size: int) -> Iterator[Callable[[NDArray[np.uint8]], int]]:
    """Copy into one block of shared memory, and say so over a connection."""
    block = shared_memory.SharedMemory(create=True, size=size)
    with connection_to(folder) as connection:
        connection.send_bytes(block.name.encode())

        def send(image: NDArray[np.uint8]) -> int:
            np.copyto(np.frombuffer(block.buf, np.uint8, size), image)
            connection.send_bytes(b"\1")
            return _number(connection.recv_bytes())

        yield send
    block.close()
    block.unlink()


def shm_echo(folder: Path, size: int) -> None:
    """Copy out of the block whenever told."""
    from multiprocessing import resource_tracker

    connection = connection_from(folder)
    block = shared_memory.SharedMemory(connection.recv_bytes().decode())
    resource_tracker.unregister(f"/{block.name}", "shared_memory")  # it is the sender's
    place: NDArray[np.uint8] = np.ndarray(size, np.uint8, block.buf)
    while True:
        connection.recv_bytes()
        connection.send_bytes(_answer(place.copy()))


@contextmanager
def unix_send(folder: Path, size: int) -> Iterator[Callable[[NDArray[np.uint8]], int]]:
    """Send over a Unix stream socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(os.fspath(folder / "pipe"))
        listener.listen(1)
        peer, _ = listener.accept()

    def send(image: NDArray[np.uint8]) -> int:
        peer.sendall(image.data)
        return _number(peer.recv(8))

    with peer:
        yield send


def unix_echo(folder: Path, size: int) -> None:
    """Answer every ``size`` bytes of the socket."""
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    while peer.connect_ex(os.fspath(folder / "pipe")):
        time.sleep(0.01)
    while True:
        image = np.empty(size, np.uint8)
        view, got = memoryview(image), 0  # type: ignore[arg-type]
        while got < size:
            got += peer.recv_into(view[got:])
        peer.sendall(_answer(image))


SEND = {"ring": ring_send, "pipe": pipe_send, "shm": shm_send, "unix": unix_send}
ECHO = {"ring": ring_echo, "pipe": pipe_echo, "shm": shm_echo, "unix": unix_echo}

if __name__ == "__main__":
    main()
