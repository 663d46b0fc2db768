"""Loop, server and receiver are killed at random moments: does every alert arrive, in order, how often twice?

``python -m benchmarks.webhooks [--kills 200] [--seed 0] [--json]``. A real loop raises and clears alerts many times
a second, `edgeai serve` delivers them, a receiver checks each signature and syncs what it took to its disk before it
answers. One of the three, drawn by lot, gets SIGKILL at a random moment after the last victim is up again. In the end
the loop stops, the queue runs empty, and what the receiver kept is compared with the journal.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from edgeai_core.alerts import outbox
from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.receivers import add_receiver
from edgeai_core.alerts.sink import AlertSink
from edgeai_core.clock import MonotonicClock
from edgeai_core.decision import Condition, Decision, Priority
from edgeai_core.loop.cycle import Fault
from edgeai_core.loop.loop import Loop
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import Every, LoopSpec, Parts
from edgeai_core.metrics.intervals import wilson
from edgeai_core.state import State

_NAME = "receiver"
_RATE_HZ = 50.0
_MOST_AFTER_START_S = 0.5
_START_WITHIN_S = 120.0


@dataclass(frozen=True)
class Result:
    """What came of it: events in the journal, and what the receiver kept of them."""

    kills: Mapping[str, int]
    events: int
    events_a_second: float
    told_but_not_journalled: int
    lost: int
    out_of_order: int
    repeats: int
    repeats_with_another_id: int
    wrong_signatures: int
    seconds: float


def main() -> None:
    """Run one of the parts, or all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--part", choices=("loop", "receiver"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part == "loop":
        run_loop(given.folder)
    elif given.part == "receiver":
        run_receiver(given.folder, given.port)
    else:
        with tempfile.TemporaryDirectory(prefix="edgeai-webhooks-") as name:
            result = measure(Path(name), given.kills, random.Random(given.seed))
        print(json.dumps(asdict(result)) if given.json else _table(result))


def measure(folder: Path, kills: int, rng: random.Random) -> Result:
    """Kill so often, let the queue run empty, and compare."""
    state = State(folder / "state").create()
    port = _free_port()
    receiver = add_receiver(state.webhooks, _NAME, f"http://127.0.0.1:{port}/in")
    (folder / "secret").write_text(receiver.secrets[0])
    journal = Journal(state.journal)
    outbox.enter(journal, _NAME, from_now=False)
    me = [sys.executable, "-m", "benchmarks.webhooks", "--folder", str(folder), "--port", str(port), "--part"]
    serve = [
        sys.executable,
        "-m",
        "edgeai_core.cli.main",
        "serve",
        "--bind",
        "127.0.0.1:0",
        "--state",
        str(state.root),
    ]
    victims = {
        "loop": _Victim([*me, "loop"], lambda pid: (folder / f"loop.{pid}").exists()),
        "receiver": _Victim([*me, "receiver"], lambda pid: (folder / f"receiver.{pid}").exists()),
        "serve": _Victim(serve, lambda pid: _served_by(state) == pid),
    }
    counts = dict.fromkeys(victims, 0)
    started_s = time.monotonic()
    try:
        for victim in victims.values():
            victim.start()
        for done in range(kills):
            time.sleep(rng.uniform(0, _MOST_AFTER_START_S))
            name = rng.choice(sorted(victims))
            victims[name].kill()
            victims[name].start()
            counts[name] += 1
            print(f"\r{done + 1} of {kills} kills", end="", file=sys.stderr, flush=True)
        victims["loop"].stop()
        running_s = time.monotonic() - started_s
        _await(lambda: journal.delivered(_NAME) == journal.last_sequence(), 300.0, "the queue to run empty")
    finally:
        for victim in victims.values():
            victim.stop()
        print(file=sys.stderr)
    result = _compare(folder, journal, counts, running_s)
    journal.close()
    return result


def run_loop(folder: Path) -> None:
    """Raise and clear alerts of five machines, by a lot that the cycle's time draws, until ended."""
    state = State(folder / "state")
    told = _Kept(folder / "told")

    def step(snapshot: Snapshot) -> Decision[None]:
        tenth = snapshot.now_ns // 100_000_000
        lot = random.Random(tenth)  # the same conditions for a tenth of a second
        conditions = [
            Condition("FAILED", f"machine-{number}", Priority.HIGH)
            for number in range(5)
            if lot.random() < 0.5
        ]
        return Decision(None, tuple(conditions))

    def fall_back(snapshot: Snapshot, fault: Fault) -> Decision[None]:
        return Decision(None, None)

    spec = LoopSpec(
        "bench",
        Every(_RATE_HZ),
        (),
        lambda: Parts((), step, fall_back),
        deadline_s=0.02,
        safe=Decision(None, None),
    )
    sink = AlertSink("bench", "bench", {}, state.journal, on_commit=lambda sequence: told.keep(str(sequence)))
    loop = Loop(spec, spec.build(), MonotonicClock(), sinks=(sink,))
    signal.signal(signal.SIGTERM, lambda number, frame: loop.stop())
    (folder / f"loop.{os.getpid()}").touch()
    loop.run()
    sink.flush(30)
    sink.close()


def run_receiver(folder: Path, port: int) -> None:
    """Take events until ended: what was answered with 204 is on the disk."""
    from standardwebhooks import Webhook, WebhookVerificationError

    taken = _Kept(folder / "taken")
    webhook = Webhook((folder / "secret").read_text())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            try:
                event = webhook.verify(body, dict(self.headers.items()))
                taken.keep(f"{event['data']['sequence']} {event['id']}")
            except WebhookVerificationError:
                taken.keep("wrong")
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", port), Handler) as server:
        (folder / f"receiver.{os.getpid()}").touch()
        server.serve_forever()


class _Kept:
    """Lines that are on the disk when ``keep`` returns; one torn by a kill stands alone."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(self._file, b"\n")

    def keep(self, line: str) -> None:
        os.write(self._file, f"{line} .\n".encode())
        os.fsync(self._file)

    @staticmethod
    def read(path: Path) -> list[list[str]]:
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.split()[:-1] for line in lines if line.endswith(" .")]


class _Victim:
    def __init__(self, argv: list[str], is_up: Callable[[int], bool]) -> None:
        self._argv, self._is_up = argv, is_up
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = process = subprocess.Popen(self._argv, stderr=subprocess.DEVNULL)
        _await(lambda: self._is_up(process.pid), _START_WITHIN_S, f"{self._argv[-1]} to start")

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None


def _compare(folder: Path, journal: Journal, kills: Mapping[str, int], running_s: float) -> Result:
    journalled: list[int] = []
    while events := journal.events_after(journalled[-1] if journalled else 0, 1000):
        journalled += [event.sequence for event in events]
    lines = _Kept.read(folder / "taken")
    taken = [(int(line[0]), line[1]) for line in lines if len(line) == 2]
    first: dict[int, str] = {}
    order: list[int] = []
    for sequence, id in taken:
        if sequence not in first:
            first[sequence] = id
            order.append(sequence)
    told = {int(line[0]) for line in _Kept.read(folder / "told")}
    return Result(
        kills=kills,
        events=len(journalled),
        events_a_second=len(journalled) / running_s,
        told_but_not_journalled=len(told - set(journalled)),
        lost=len(set(journalled) - set(first)),
        out_of_order=sum(later < earlier for earlier, later in itertools.pairwise(order)),
        repeats=len(taken) - len(order),
        repeats_with_another_id=sum(first[sequence] != id for sequence, id in taken),
        wrong_signatures=sum(line == ["wrong"] for line in lines),
        seconds=running_s,
    )


def _table(result: Result) -> str:
    kills = sum(result.kills.values())
    low, high = wilson(result.lost, result.events)
    each = ", ".join(f"{count} of the {name}" for name, count in result.kills.items())
    return "\n".join(
        (
            f"kills                     {kills} ({each}) in {result.seconds:.0f} s",
            f"events journalled         {result.events} ({result.events_a_second:.1f} a second)",
            f"told but not journalled   {result.told_but_not_journalled}",
            f"lost                      {result.lost} (95 % interval of the share: {low:.2%} to {high:.2%})",
            f"out of order              {result.out_of_order}",
            f"repeats                   {result.repeats} ({result.repeats / max(1, kills):.3f} a kill),"
            f" {result.repeats_with_another_id} with another id",
            f"wrong signatures          {result.wrong_signatures}",
        )
    )


def _served_by(state: State) -> int:
    try:
        return int(json.loads((state.run / "serve.json").read_text())["pid"])
    except (OSError, ValueError, KeyError):
        return 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _await(holds: Callable[[], bool], within_s: float, what: str) -> None:
    until_s = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > until_s:
            raise SystemExit(f"waited {within_s:g} s in vain for {what}")
        time.sleep(0.02)


if __name__ == "__main__":
    main()
