"""Keeps child processes alive: restarts with back-off and a limit, ends what hangs, stops in order."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from edgeai_core.process.parent import PARENT_VARIABLE

FINAL_EXIT_CODES = frozenset({2, 3, 4, 7})
"""What no restart cures: a configuration, an input file, a model, a missing extra (see ``edgeai_core.errors``)."""

_TICK_S = 0.1
_WAIT_FOR_OTHERS_S = 20.0


@dataclass(frozen=True)
class ChildSpec:
    """One process to keep.

    ``progress`` returns a number that grows as long as the child lives, or None before it has one; a child
    whose number stands still for ``stall_after_s`` is killed and restarted. None: it is not watched.
    ``ready_within_s`` bounds the time to the first number: engines load, models are checked.
    ``service``: a child that serves the others and does not keep the run alive by itself.
    ``after``: children that are to make progress before this one is started; after some seconds it is all the same.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    progress: Callable[[], int | None] | None = None
    stall_after_s: float = 5.0
    ready_within_s: float = 60.0
    service: bool = False
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class RestartPolicy:
    """How a dead child comes back: after ``first_s``, doubled up to ``longest_s``; given up after ``limit``
    deaths within ``window_s``. A child that has lived ``window_s`` starts afresh with ``first_s``.
    """

    first_s: float = 0.2
    longest_s: float = 10.0
    limit: int = 8
    window_s: float = 60.0


class EventKind(StrEnum):
    """What can happen to a child."""

    STARTED = "started"
    WELL = "well"
    DIED = "died"
    STALLED = "stalled"
    GIVEN_UP = "given up"
    ENDED = "ended"


@dataclass(frozen=True)
class ChildEvent:
    """Something that happened to a child. ``exit_code`` is negative for a signal, as in ``subprocess``.

    ``WELL`` comes once after every start, with the first progress.
    """

    kind: EventKind
    child: str
    detail: str
    pid: int
    exit_code: int | None = None


class Supervisor:
    """Runs children until all but the services have ended, or until ``stop``."""

    def __init__(
        self,
        children: Sequence[ChildSpec],
        *,
        on_event: Callable[[ChildEvent], None] = lambda event: None,
        policy: RestartPolicy | None = None,
        stop_within_s: float = 5.0,
    ) -> None:
        self._children = [_Child(spec, policy or RestartPolicy(), on_event) for spec in children]
        self._stop_within_s = stop_within_s
        self._wake = threading.Event()
        self._stopping = False

    def run(self, seconds: float | None = None) -> int:
        """Run for at most ``seconds``; return 0, or the exit code of the first child that was down at the end."""
        ends_at = None if seconds is None else time.monotonic() + seconds
        try:
            while not self._stopping and (ends_at is None or time.monotonic() < ends_at):
                down = {child.spec.name for child in self._children if not child.up}
                for child in self._children:
                    child.look(waits=not down.isdisjoint(child.spec.after))
                if all(child.over for child in self._children if not child.spec.service):
                    break
                self._wake.wait(_TICK_S)
        finally:
            self._end_children()
        return next((code for child in self._children if (code := child.down_with)), 0)

    def stop(self) -> None:
        """Ask ``run`` to stop the children in order and return. Safe from signal handlers and threads."""
        self._stopping = True
        self._wake.set()

    def stop_on_signals(self) -> None:
        """Let SIGTERM and SIGINT stop the run. Only from the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())

    def _end_children(self) -> None:
        """Loops first, services last: what the loops still say while they end is still served."""
        for group in (
            [child for child in self._children if not child.spec.service],
            [child for child in self._children if child.spec.service],
        ):
            for child in group:
                child.ask_to_end()
            deadline = time.monotonic() + self._stop_within_s
            for child in group:
                child.wait_or_kill(deadline)


class _Child:
    """One child and its history."""

    def __init__(
        self, spec: ChildSpec, policy: RestartPolicy, on_event: Callable[[ChildEvent], None]
    ) -> None:
        self.spec = spec
        self.over = False
        self.down_with: int | None = None  # the exit code of its last death, until it is started again
        self._policy = policy
        self._on_event = on_event
        self._process: subprocess.Popen[bytes] | None = None
        self._start_at = 0.0
        self._waits_until = time.monotonic() + _WAIT_FOR_OTHERS_S
        self._back_off_s = policy.first_s
        self._deaths: deque[float] = deque()
        self._started_at = 0.0
        self._before: int | None = None  # what the child before this one left
        self._progress: int | None = None
        self._progress_at = 0.0
        self._is_well = False

    @property
    def up(self) -> bool:
        """Whether it has come so far that others may build on it, or will never."""
        return self._is_well or self.over

    def look(self, *, waits: bool = False) -> None:
        """Start what is due, notice what died, end what hangs. ``waits``: others are to be up first."""
        now = time.monotonic()
        if self.over:
            return
        if self._process is None:
            if now >= self._start_at and not (waits and now < self._waits_until):
                self._start(now)
            return
        code = self._process.poll()
        if code is not None:
            self._died(code, now)
        elif self.spec.progress is not None:
            self._watch(now)

    def ask_to_end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait_or_kill(self, deadline: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            code = process.wait(max(deadline - time.monotonic(), 0.01))
            self._tell(EventKind.ENDED, _describe_exit(code), process.pid, code)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self._tell(EventKind.STALLED, "did not end when asked and was killed", process.pid)

    def _start(self, now: float) -> None:
        environment = {**os.environ, **self.spec.env, PARENT_VARIABLE: str(os.getpid())}
        self._before = self.spec.progress() if self.spec.progress is not None else None
        try:
            # A group of its own: Ctrl-C reaches the supervisor alone, which then stops the children in order.
            self._process = subprocess.Popen(
                list(self.spec.argv), env=environment, stdin=subprocess.DEVNULL, process_group=0
            )
        except OSError as error:
            self.over, self.down_with = True, 1
            self._tell(EventKind.GIVEN_UP, f"cannot be started: {error}", 0)
            return
        self.down_with = None
        self._started_at = self._progress_at = now
        self._progress, self._is_well = self._before, False
        self._tell(EventKind.STARTED, "started", self._process.pid)

    def _watch(self, now: float) -> None:
        assert self._process is not None
        assert self.spec.progress is not None
        progress = self.spec.progress()
        if progress is not None and progress != self._progress:
            self._progress, self._progress_at = progress, now
            if not self._is_well and progress > 0:
                self._is_well = True
                self._tell(EventKind.WELL, "makes progress", self._process.pid)
            return
        limit_s = self.spec.stall_after_s if self._is_well else self.spec.ready_within_s
        if now - self._progress_at > limit_s:
            self._tell(EventKind.STALLED, f"no progress for {limit_s:g} s; killed", self._process.pid)
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._died(self._process.wait(), now)

    def _died(self, code: int, now: float) -> None:
        assert self._process is not None
        pid, self._process = self._process.pid, None
        if code == 0:
            self.over = True
            self._tell(EventKind.ENDED, "ended", pid, code)
            return
        if now - self._started_at > self._policy.window_s:
            self._back_off_s = self._policy.first_s
        self.down_with = code if code > 0 else 128 - code
        self._deaths.append(now)
        while self._deaths and now - self._deaths[0] > self._policy.window_s:
            self._deaths.popleft()
        what = _describe_exit(code)
        if code in FINAL_EXIT_CODES or len(self._deaths) >= self._policy.limit:
            self.over = True
            why = (
                "no restart would help"
                if code in FINAL_EXIT_CODES
                else f"{len(self._deaths)} times in {self._policy.window_s:g} s"
            )
            self._tell(EventKind.GIVEN_UP, f"{what}; given up: {why}", pid, code)
            return
        self._start_at = now + self._back_off_s
        self._tell(EventKind.DIED, f"{what}; restarts in {self._back_off_s:g} s", pid, code)
        self._back_off_s = min(2 * self._back_off_s, self._policy.longest_s)

    def _tell(self, kind: EventKind, detail: str, pid: int, code: int | None = None) -> None:
        self._on_event(ChildEvent(kind, self.spec.name, detail, pid, code))


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
