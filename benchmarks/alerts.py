"""What alerts cost: a cycle's share of the loop, the time from a decision to its committed row, rows a second.

``python -m benchmarks.alerts [--samples 500] [--alerts 20000] [--folder DIR] [--json]``. Each commit waits for
the disk, so the disk's own time to append 4 KiB and sync is measured beside it, in the same folder and run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.lifecycle import Change
from edgeai_core.alerts.sink import AlertSink
from edgeai_core.alerts.walltime import now
from edgeai_core.decision import Condition, Decision, Priority
from edgeai_core.loop.cycle import Cycle
from edgeai_core.loop.snapshot import Snapshot

EVIDENCE: dict[str, object] = {"confidence": 0.97, "rate_bpm": 310.0, "leads": ["II", "V1"], "window_s": 4.0}


@dataclass(frozen=True)
class Row:
    """One line of the table: microseconds at the median and the 99th percentile, or a rate."""

    what: str
    p50_us: float | None
    p99_us: float | None
    n: int
    per_s: float | None = None


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=500, help="per figure")
    parser.add_argument("--alerts", type=int, default=20_000, help="in the journal that is read and opened")
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: the temporary folder")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sys.setswitchinterval(0.0002)  # as every loop's process does
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        rows = [
            *in_the_loop(folder / "loop.sqlite3", options.samples),
            append_and_sync(folder / "floor", options.samples),
            decision_to_commit(folder / "commit.sqlite3", options.samples),
            *rows_per_second(folder, options.samples),
            *large_journal(folder / "large.sqlite3", options.alerts),
        ]
    if options.json:
        print(json.dumps([row.__dict__ for row in rows], indent=1))
        return
    print(f"{'':<58}{'p50':>11}{'p99':>11}{'n':>8}{'per second':>12}")
    for row in rows:
        per_s = "" if row.per_s is None else f"{row.per_s:,.0f}"
        print(f"{row.what:<58}{_time(row.p50_us):>11}{_time(row.p99_us):>11}{row.n:>8}{per_s:>12}")


def in_the_loop(path: Path, samples: int) -> list[Row]:
    """What ``put`` takes of the loop's own time."""
    sink = AlertSink("bench", "loop", {}, path, device="bench")
    standing = (_condition(0), _condition(1))
    sink.put(_cycle(standing, 0))
    sink.flush(30)
    sink.put(_cycle(standing, 1))
    sink.flush(30)
    sink.put(_cycle(standing, 2))
    unchanged = [_cycle((_condition(0), _condition(1)), number) for number in range(samples * 10)]
    unchanged_ns = [_took_ns(partial(sink.put, cycle)) for cycle in unchanged]
    changed_ns = []
    for number in range(samples):
        cycle = _cycle((_condition(number + 10),), number)  # one begins, one ends
        changed_ns.append(_took_ns(partial(sink.put, cycle)))
        time.sleep(0.005)  # a loop's own pause
    sink.flush(60)
    sink.close()
    return [
        _row("put, decision unchanged (2 conditions hold)", unchanged_ns),
        _row("put, one alert begins and one ends", changed_ns),
    ]


def append_and_sync(path: Path, samples: int) -> Row:
    """The floor: what this disk takes to append 4 KiB and sync, without any database."""
    block = os.urandom(4096)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def append() -> None:
        os.write(descriptor, block)
        os.fdatasync(descriptor)

    durations_ns = [_took_ns(append) for _ in range(samples)]
    os.close(descriptor)
    return _row("the disk alone: append 4 KiB, fdatasync", durations_ns)


def decision_to_commit(path: Path, samples: int) -> Row:
    """From ``put`` of the deciding cycle to the moment its row is committed, one alert at a time."""
    committed = threading.Event()
    at_ns = [0]

    def note(_sequence: int) -> None:
        at_ns[0] = time.perf_counter_ns()
        committed.set()

    sink = AlertSink("bench", "loop", {}, path, device="bench", on_commit=note)
    durations_ns = []
    for number in range(samples):
        committed.clear()
        cycle = _cycle((_condition(number),), number)  # one begins, the one before ends
        start_ns = time.perf_counter_ns()
        sink.put(cycle)
        if not committed.wait(30):
            raise SystemExit("the journal did not commit within 30 s")
        durations_ns.append(at_ns[0] - start_ns)
    sink.close()
    return _row("decision to committed row", durations_ns)


def rows_per_second(folder: Path, samples: int) -> list[Row]:
    """Changes a second: one a transaction, many a transaction, and from several processes at once."""
    rows = []
    journal = Journal(folder / "rows.sqlite3", device="bench")
    for size in (1, 100):
        count = samples * (1 if size == 1 else 10)
        start_s = time.perf_counter()
        for first in range(0, count, size):
            journal.append([_change(f"{size}-{number}") for number in range(first, first + size)])
        took_s = time.perf_counter() - start_s
        rows.append(Row(f"rows written, {size} a transaction", None, None, count, count / took_s))
    journal.close()
    context = multiprocessing.get_context("spawn")
    for writers in (2, 4):
        barrier, out = context.Barrier(writers), context.Queue()
        arguments = (folder / f"writers{writers}.sqlite3", samples, barrier, out)
        processes = [context.Process(target=_write, args=(n, *arguments)) for n in range(writers)]
        for process in processes:
            process.start()
        done = [out.get(timeout=300) for _ in processes]
        for process in processes:
            process.join()
        took_s = max(end for _, end, _ in done) - min(start for start, _, _ in done)
        durations_ns = [each for _, _, durations in done for each in durations]
        row = _row(f"rows written by {writers} processes at once, 1 a transaction", durations_ns)
        rows.append(Row(row.what, row.p50_us, row.p99_us, row.n, row.n / took_s))
    return rows


def large_journal(path: Path, alerts: int) -> list[Row]:
    """Opening (with its integrity check) and reading a journal of many alerts."""
    journal = Journal(path, device="bench")
    for first in range(0, alerts, 1000):
        journal.append([_change(str(number)) for number in range(first, min(first + 1000, alerts))])
    journal.close()
    size_mb = path.stat().st_size / 1e6
    opening_ns = []
    for _ in range(5):
        opening_ns.append(_took_ns(lambda: Journal(path, device="bench").close()))
    journal = Journal(path, device="bench", read_only=True)
    cursors = np.random.default_rng(0).integers(1, alerts + 1, 200).tolist()
    paging_ns = [_took_ns(partial(journal.alerts, before=cursor)) for cursor in cursors]
    polling_ns = [_took_ns(journal.last_sequence) for _ in range(1000)]
    journal.close()
    return [
        _row(f"open and check a journal of {alerts:,} alerts ({size_mb:.0f} MB)", opening_ns),
        _row("a page of 100 alerts of it", paging_ns),
        _row("poll for the newest sequence", polling_ns),
    ]


def _write(writer: int, path: Path, count: int, barrier: Any, out: Any) -> None:
    journal = Journal(path, device="bench")
    barrier.wait()
    start_s = time.monotonic()
    durations_ns = [
        _took_ns(partial(journal.append, [_change(f"{writer}-{number}")])) for number in range(count)
    ]
    out.put((start_s, time.monotonic(), durations_ns))
    journal.close()


def _condition(number: int | str) -> Condition:
    return Condition("BENCH", f"subject-{number}", Priority.HIGH, "A condition of the benchmark", EVIDENCE)


def _change(number: str) -> Change:
    return Change(True, "bench", "loop", _condition(number), now(), f"alert-{number}", by="benchmark")


def _cycle(conditions: tuple[Condition, ...], number: int) -> Cycle[None]:
    at_ns = number * 10_000_000
    return Cycle("loop", Snapshot(number, at_ns, at_ns, 0, {}), Decision(None, conditions), at_ns, at_ns)


def _took_ns(work: Callable[[], object]) -> int:
    start_ns = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - start_ns


def _row(what: str, durations_ns: list[int]) -> Row:
    p50, p99 = np.percentile(durations_ns, [50, 99]) / 1e3
    return Row(what, float(p50), float(p99), len(durations_ns))


def _time(us: float | None) -> str:
    if us is None:
        return ""
    return f"{us:.1f} us" if us < 1000 else f"{us / 1000:.2f} ms"


if __name__ == "__main__":
    main()
