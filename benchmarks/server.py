"""How soon an alert reaches a client of the event stream, and how soon the server answers.

    python -m benchmarks.server [--alerts N] [--streams N] [--json]

The server is a process of its own, as in a run. Each alert goes the whole way of a loop's: `AlertSink.put` (what
a loop does with a decision), the journal (a transaction on the disk), the nudge, the server, the wire, the client.
Requests are timed on one connection each, first with nothing else to do, then beside the alerts and the streams.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from edgeai_core.alerts import walltime
from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.lifecycle import Change
from edgeai_core.alerts.sink import AlertSink
from edgeai_core.decision import Condition, Decision, Priority
from edgeai_core.http.tokens import Role, create_token
from edgeai_core.loop.cycle import Cycle
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.state import State
from edgeai_core.topics.live import JOURNAL_TOPIC, LivePublisher

PATHS = ("/healthz", "/v1/alerts?limit=50", "/v1/loops", "/metrics")
PERIOD_S = 0.05
REQUESTS = 300

_SERVE = """
import sys
from pathlib import Path
from edgeai_core.http.server import bind, serve
from edgeai_core.http.settings import ServeSettings
listener = bind("127.0.0.1", 0)
print(listener.getsockname()[1], flush=True)
serve(ServeSettings(state=Path(sys.argv[1])), listener)
"""


def measure(alerts: int, streams: int) -> dict[str, Any]:
    """Return milliseconds as ``{name: {p50, p99, max, n}}``, and the machine's steal time meanwhile."""
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        state = State(Path(folder)).create()
        headers = {"Authorization": f"Bearer {create_token(state, 'bench', Role.ADMIN)}"}
        with server(state) as url, httpx.Client(base_url=url, headers=headers, timeout=60) as client:
            steal_before = _steal_ticks()
            for path in PATHS:
                rows[f"GET {path}, idle"] = _percentiles(_ask(client, path, REQUESTS))
            rows["journal, one change committed"] = _percentiles(_append(state, alerts))
            for beside, what in ((False, f"{streams} streams"), (True, f"{streams} streams and requests")):
                run = _follow(state, client, url, headers, alerts, streams, beside)
                rows |= {f"{name}, {what}": _percentiles(took_ms) for name, took_ms in run.items() if took_ms}
            rows["steal"] = {"share": _steal_share(steal_before)}
    return rows


def _follow(
    state: State,
    client: httpx.Client,
    url: str,
    headers: dict[str, str],
    alerts: int,
    streams: int,
    beside: bool,
) -> dict[str, list[float]]:
    """Raise alerts while streams are open (and requests are made ``beside``); return milliseconds by what."""
    clients = [Follower(url, headers, alerts) for _ in range(streams)]
    for each in clients:
        each.ready.wait()
    sent_ns: list[int] = []
    raising = threading.Thread(target=_raise_alerts, args=(state, alerts, sent_ns))
    raising.start()
    asked: dict[str, list[float]] = {f"GET {path}": [] for path in PATHS}
    while raising.is_alive() and beside:
        for path in PATHS:
            asked[f"GET {path}"] += _ask(client, path, 1)
        time.sleep(PERIOD_S)
    raising.join()
    for each in clients:
        each.join()
    came = [(at - sent) * 1e-6 for each in clients for at, sent in zip(each.came_ns, sent_ns, strict=True)]
    return {"alert, decision to SSE client": came, **asked}


class Follower(threading.Thread):
    """One client of the alert stream; ``came_ns`` are the times at which raised alerts were there, in order."""

    def __init__(self, url: str, headers: dict[str, str], count: int) -> None:
        super().__init__(daemon=True)
        self.ready = threading.Event()
        self.came_ns: list[int] = []
        self._url, self._headers, self._count = url, headers, count
        self.start()

    def run(self) -> None:
        """Follow until all events have come."""
        with (
            httpx.Client(base_url=self._url, headers=self._headers, timeout=60) as client,
            client.stream("GET", "/v1/alerts/stream") as answer,
        ):
            for line in answer.iter_lines():
                if line == "event: ready":
                    self.ready.set()
                elif line.startswith("data: ") and '"kind":"raised"' in line:
                    self.came_ns.append(time.monotonic_ns())
                    if len(self.came_ns) == self._count:
                        return


@contextlib.contextmanager
def server(state: State) -> Iterator[str]:
    """Run the server in a process of its own."""
    child = subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(state.root)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    try:
        yield f"http://127.0.0.1:{child.stdout.readline().strip()}"
    finally:
        child.terminate()
        child.wait()
        child.stdout.close()


def _raise_alerts(state: State, count: int, sent_ns: list[int]) -> None:
    """Hand a loop's cycles to its alert sink: each raises an alert and clears the one before."""
    nudge = LivePublisher(state.run)

    def tell(sequence: int) -> None:
        nudge.publish(JOURNAL_TOPIC, sequence, 0)

    sink = AlertSink(
        "bench",
        "loop",
        {},
        state.journal,
        device="bench",
        on_commit=tell,
    )
    for number in range(count):
        condition = Condition("BENCH", f"subject-{number}", Priority.HIGH, "An alert", {"number": number})
        now_ns = time.monotonic_ns()
        cycle = Cycle(
            "loop", Snapshot(number, now_ns, now_ns, 0, {}), Decision(None, (condition,)), now_ns, now_ns
        )
        sent_ns.append(time.monotonic_ns())
        sink.put(cycle)
        time.sleep(PERIOD_S)
    sink.flush(30.0)
    sink.close()
    nudge.close()


def _append(state: State, count: int) -> list[float]:
    """Time transactions of one change each: the disk's part of an alert's way."""
    took_ms = []
    with contextlib.closing(Journal(state.journal, device="bench")) as journal:
        for number in range(count):
            condition = Condition("APPEND", f"subject-{number}", Priority.LOW, "An alert")
            change = Change(
                True, "bench", "append", condition, walltime.now(), f"append-{number}", by="bench"
            )
            began_ns = time.perf_counter_ns()
            journal.append([change])
            took_ms.append((time.perf_counter_ns() - began_ns) * 1e-6)
            time.sleep(PERIOD_S / 10)
    return took_ms


def _ask(client: httpx.Client, path: str, times: int) -> list[float]:
    took_ms = []
    for _ in range(times):
        began_ns = time.perf_counter_ns()
        client.get(path).raise_for_status()
        took_ms.append((time.perf_counter_ns() - began_ns) * 1e-6)
    return took_ms


def _percentiles(took_ms: Sequence[float]) -> dict[str, float]:
    values = np.asarray(took_ms)
    p50, p99 = np.percentile(values, [50, 99])
    return {"p50": float(p50), "p99": float(p99), "max": float(values.max()), "n": len(values)}


def _steal_ticks() -> tuple[int, int]:
    fields = [int(each) for each in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return fields[7], sum(fields[:8])


def _steal_share(before: tuple[int, int]) -> float:
    stolen, total = _steal_ticks()
    return (stolen - before[0]) / max(total - before[1], 1)


def main() -> None:
    """Print the table, or one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--alerts", type=int, default=500)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(options.alerts, options.streams)
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    steal = rows.pop("steal")["share"]
    print(f"{'':58}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}{'n':>7}")
    for name, row in rows.items():
        print(f"{name:58}{row['p50']:9.2f}{row['p99']:9.2f}{row['max']:9.2f}{row['n']:7d}")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, stolen by the hypervisor {steal:.1%}")


if __name__ == "__main__":
    main()
