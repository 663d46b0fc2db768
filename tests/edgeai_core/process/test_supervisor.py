"""The supervisor: what dies comes back, what hangs is ended, what is hopeless is given up, all stop in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeai_core.process.parent import die_with_parent
from edgeai_core.process.supervisor import ChildEvent, ChildSpec, EventKind, RestartPolicy, Supervisor

DEADLINE_S = 30.0
QUICK = RestartPolicy(first_s=0.01, longest_s=0.05, limit=4, window_s=60)


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code, *arguments]


STAY = python("import time\nwhile True: time.sleep(60)")


class Watched:
    """A supervisor in a thread, its events, and a way to wait for one."""

    def __init__(
        self, *children: ChildSpec, policy: RestartPolicy = QUICK, stop_within_s: float = 5.0
    ) -> None:
        self.events: list[ChildEvent] = []
        self.supervisor = Supervisor(
            children, on_event=self.events.append, policy=policy, stop_within_s=stop_within_s
        )
        self.code: int | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.code = self.supervisor.run()

    def kinds(self, child: str) -> list[EventKind]:
        return [event.kind for event in self.events if event.child == child]

    def first(self, kind: EventKind, child: str = "loop") -> ChildEvent:
        until(lambda: kind in self.kinds(child))
        return next(event for event in self.events if event.kind is kind and event.child == child)

    def join(self) -> int:
        self._thread.join(DEADLINE_S)
        assert self.code is not None, f"the supervisor does not end: {self.events}"
        return self.code

    def stop(self) -> int:
        self.supervisor.stop()
        return self.join()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    return tmp_path / "progress"


def read(path: Path) -> int | None:
    try:
        return len(path.read_bytes())
    except OSError:
        return None


COUNT = "import sys, time\nwhile True:\n open(sys.argv[1], 'a').write('x'); time.sleep(0.02)"
COUNT_THEN_HANG = (
    "import sys, time\nopen(sys.argv[1], 'a').write('x'); time.sleep(0.3)\n"
    "open(sys.argv[1], 'a').write('x')\nwhile True: time.sleep(60)"
)


def test_a_run_ends_when_its_loops_have_ended() -> None:
    run = Watched(ChildSpec("loop", python("pass")), ChildSpec("serve", STAY, service=True))
    assert run.join() == 0
    assert run.kinds("loop") == [EventKind.STARTED, EventKind.ENDED]
    assert run.kinds("serve") == [EventKind.STARTED, EventKind.ENDED]


def test_a_loop_killed_by_force_is_started_again() -> None:
    run = Watched(ChildSpec("loop", STAY))
    os.kill(run.first(EventKind.STARTED).pid, signal.SIGKILL)
    died = run.first(EventKind.DIED)
    assert died.exit_code == -signal.SIGKILL
    assert "SIGKILL" in died.detail
    until(lambda: run.kinds("loop").count(EventKind.STARTED) == 2)
    assert run.stop() == 0


def test_a_loop_that_dies_again_and_again_is_given_up_with_growing_pauses() -> None:
    run = Watched(ChildSpec("loop", python("raise SystemExit(9)")), ChildSpec("other", STAY))
    given_up = run.first(EventKind.GIVEN_UP)
    assert "4 times" in given_up.detail
    assert run.kinds("loop").count(EventKind.STARTED) == 4
    pauses = [event.detail.rsplit("in ", 1)[1] for event in run.events if event.kind is EventKind.DIED]
    assert pauses == ["0.01 s", "0.02 s", "0.04 s"]
    assert run.kinds("other") == [EventKind.STARTED], "the others go on"
    assert run.stop() == 9


@pytest.mark.parametrize("code", [2, 3, 4, 7])
def test_what_no_restart_cures_is_given_up_at_once(code: int) -> None:
    run = Watched(ChildSpec("loop", python(f"raise SystemExit({code})")))
    assert run.join() == code
    assert run.kinds("loop") == [EventKind.STARTED, EventKind.GIVEN_UP]


def test_a_program_that_does_not_exist_is_given_up() -> None:
    run = Watched(ChildSpec("loop", ["/does/not/exist"]))
    assert run.join() == 1
    assert "cannot be started" in run.first(EventKind.GIVEN_UP).detail


def test_a_loop_that_hangs_is_killed_and_started_again(counter: Path) -> None:
    run = Watched(
        ChildSpec(
            "loop", python(COUNT_THEN_HANG, str(counter)), progress=lambda: read(counter), stall_after_s=1.5
        )
    )
    stalled = run.first(EventKind.STALLED)
    assert run.kinds("loop")[:3] == [EventKind.STARTED, EventKind.WELL, EventKind.STALLED]
    until(lambda: run.kinds("loop").count(EventKind.STARTED) == 2)
    assert not alive(stalled.pid)
    run.stop()


def test_a_loop_that_never_gets_ready_is_killed(counter: Path) -> None:
    run = Watched(ChildSpec("loop", STAY, progress=lambda: read(counter), ready_within_s=0.2))
    assert "0.2 s" in run.first(EventKind.STALLED).detail
    run.stop()


def test_a_loop_waits_until_those_it_builds_on_make_progress(counter: Path) -> None:
    first = ChildSpec("first", python(COUNT, str(counter)), progress=lambda: read(counter), stall_after_s=10)
    run = Watched(ChildSpec("last", STAY, after=("first", "not part of this run")), first)
    until(lambda: bool(run.kinds("last")))
    order = [(event.child, event.kind) for event in run.events]
    assert order.index(("first", EventKind.WELL)) < order.index(("last", EventKind.STARTED))
    assert run.stop() == 0


def test_a_loop_does_not_wait_for_one_that_is_given_up() -> None:
    broken = ChildSpec("first", ["/does/not/exist"])
    run = Watched(ChildSpec("last", STAY, after=("first",)), broken)
    run.first(EventKind.GIVEN_UP, "first")
    until(lambda: run.kinds("last") == [EventKind.STARTED])
    run.stop()


def test_a_loop_that_makes_progress_is_left_alone(counter: Path) -> None:
    run = Watched(
        ChildSpec("loop", python(COUNT, str(counter)), progress=lambda: read(counter), stall_after_s=10)
    )
    run.first(EventKind.WELL)
    until(lambda: (read(counter) or 0) > 20)
    assert run.stop() == 0
    assert run.kinds("loop") == [EventKind.STARTED, EventKind.WELL, EventKind.ENDED]


def test_stopping_asks_first_and_the_services_go_last(tmp_path: Path) -> None:
    # Waits for the signal itself: one that comes just before a sleep begins would not end that sleep.
    polite = (
        "import signal, sys\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
        "open(sys.argv[1] + sys.argv[2], 'w')\n"
        "signal.sigwait([signal.SIGTERM])\n"
        "open(sys.argv[1], 'a').write(sys.argv[2] + ' ')"
    )
    order = tmp_path / "order"
    run = Watched(
        ChildSpec("serve", python(polite, str(order), "serve"), service=True),
        ChildSpec("loop", python(polite, str(order), "loop")),
        stop_within_s=DEADLINE_S,
    )
    until(lambda: (tmp_path / "orderserve").exists() and (tmp_path / "orderloop").exists())
    assert run.stop() == 0
    assert order.read_text() == "loop serve "


def test_a_child_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    deaf = (
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nopen(sys.argv[1], 'w')\n"
        "while True: time.sleep(60)"
    )
    run = Watched(ChildSpec("loop", python(deaf, str(tmp_path / "ready"))), stop_within_s=0.2)
    until((tmp_path / "ready").exists)
    pid = run.first(EventKind.STARTED).pid
    run.stop()
    assert "was killed" in run.first(EventKind.STALLED).detail
    assert not alive(pid)


def test_a_run_ends_after_its_time() -> None:
    supervisor = Supervisor([ChildSpec("loop", STAY)])
    assert supervisor.run(seconds=0.2) == 0


def test_a_run_that_ends_while_a_loop_is_down_says_so_with_its_exit_code() -> None:
    slow = RestartPolicy(first_s=60.0, longest_s=60.0, limit=4, window_s=600)
    watched = Watched(ChildSpec("loop", python("raise SystemExit(9)")), policy=slow)
    watched.first(EventKind.DIED)
    assert watched.stop() == 9


def test_children_do_not_outlive_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom edgeai_core.process.parent import die_with_parent\ndie_with_parent()\n"
        "import os, time\nopen(sys.argv[1], 'w').write(str(os.getpid()))\nos.rename(sys.argv[1], sys.argv[2])\n"
        "while True: time.sleep(60)"
    )
    supervise = (
        "import sys\nfrom edgeai_core.process.supervisor import *\n"
        "Supervisor([ChildSpec('loop', [sys.executable, '-c', *sys.argv[1:]])]).run()"
    )
    ready = tmp_path / "ready"
    parent = subprocess.Popen([sys.executable, "-c", supervise, code, str(tmp_path / "new"), str(ready)])
    until(ready.exists)
    child = int(ready.read_text())
    parent.kill()
    parent.wait()
    until(lambda: not alive(child) or _is_zombie(child))


def test_a_child_whose_supervisor_is_gone_before_it_looks_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    die_with_parent()  # nobody supervises this process: nothing happens
    monkeypatch.setattr(os, "getppid", lambda: 1)
    monkeypatch.setenv("EDGEAI_SUPERVISOR", "2147483646")
    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: type("Libc", (), {"prctl": lambda *_: 0})())
    with pytest.raises(SystemExit):
        die_with_parent()


def _is_zombie(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
