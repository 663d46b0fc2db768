"""A whole run: the supervisor over a plan, its events logged and journalled.

``edgeai run`` checks everything, writes the plan and becomes this process, which then holds little memory.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.lifecycle import Change
from edgeai_core.alerts.walltime import now
from edgeai_core.decision import Condition, Priority
from edgeai_core.errors import EdgeAIError
from edgeai_core.log import set_up_logging
from edgeai_core.loop.realtime import LIBRARY_THREADS
from edgeai_core.loop.statistics import read_progress
from edgeai_core.process.parent import die_with_parent
from edgeai_core.process.supervisor import ChildEvent, ChildSpec, EventKind, Supervisor
from edgeai_core.state import State
from edgeai_core.topics.live import JOURNAL_TOPIC, LivePublisher
from edgeai_core.topics.ring import sweep_rings

log = logging.getLogger("edgeai.supervisor")


@dataclass(frozen=True)
class PlannedChild:
    """A child of the plan. A loop is named ``<app>.<loop>`` and watched by its statistics; a service is not."""

    name: str
    argv: Sequence[str]
    service: bool = False
    stall_after_s: float = 5.0
    after: Sequence[str] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """What one run consists of."""

    state: str
    children: Sequence[PlannedChild]
    seconds: float | None = None
    device: str = ""
    log_json: bool = False

    def to_json(self) -> str:
        """Write it for the command line of the process that runs it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read what ``to_json`` wrote."""
        parts = json.loads(text)
        return cls(**{**parts, "children": [PlannedChild(**child) for child in parts["children"]]})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the plan in the first argument; return the exit code."""
    plan = Plan.from_json((sys.argv[1:] if arguments is None else arguments)[0])
    set_up_logging("supervisor", as_json=plan.log_json)
    die_with_parent()
    return run_plan(plan)


def run_plan(plan: Plan) -> int:
    """Run every child until the loops have ended, the time is over or a signal comes."""
    state = State(Path(plan.state))
    recorder = _Recorder(state, plan.device)
    supervisor = Supervisor([_spec(child, state) for child in plan.children], on_event=recorder.note)
    supervisor.stop_on_signals()
    try:
        return supervisor.run(plan.seconds)
    finally:
        recorder.close()
        sweep_rings(state.run)


def _spec(child: PlannedChild, state: State) -> ChildSpec:
    app, _, loop = child.name.partition(".")
    progress = None if child.service else lambda: read_progress(state.statistics(app, loop))
    return ChildSpec(
        child.name,
        child.argv,
        {name: value for name, value in LIBRARY_THREADS.items() if name not in os.environ},
        progress=progress,
        stall_after_s=child.stall_after_s,
        after=tuple(child.after),
        service=child.service,
    )


class _Recorder:
    """Logs what happens to children, and journals the death of loops as alerts of their own.

    A loop's open alerts stay open: nobody knows whether they still hold. What it raises itself is cleared
    by the first progress of the loop's next start.
    """

    _LEVELS: Mapping[EventKind, int] = {
        EventKind.DIED: logging.WARNING,
        EventKind.STALLED: logging.ERROR,
        EventKind.GIVEN_UP: logging.ERROR,
    }

    def __init__(self, state: State, device: str) -> None:
        self._live = LivePublisher(state.run)
        self._journal: Journal | None = None
        self._state = state
        self._device = device

    def note(self, event: ChildEvent) -> None:
        level = self._LEVELS.get(event.kind, logging.INFO)
        log.log(level, "%s %s", event.child, event.detail, extra={"pid": event.pid})
        if "." not in event.child:
            return
        if event.kind is EventKind.WELL:
            self._write(event, "LOOP_DIED", holds=False)
            self._write(event, "LOOP_GIVEN_UP", holds=False)
        elif event.kind is EventKind.DIED:
            self._write(event, "LOOP_DIED", holds=True)
        elif event.kind is EventKind.GIVEN_UP:
            self._write(event, "LOOP_GIVEN_UP", holds=True)

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
        self._live.close()

    def _write(self, event: ChildEvent, code: str, *, holds: bool) -> None:
        app, _, loop = event.child.partition(".")
        given_up = code == "LOOP_GIVEN_UP"
        condition = Condition(
            code,
            subject=event.child,
            priority=Priority.HIGH if given_up else Priority.MEDIUM,
            title=f"{event.child} is not running" if given_up else f"{event.child} stopped and is restarted",
            evidence={"detail": event.detail, "exit_code": event.exit_code},
        )
        change = Change(holds, app, loop, condition, now(), uuid.uuid4().hex, by="supervisor")
        try:
            if self._journal is None:
                self._journal = Journal(self._state.journal, device=self._device)
            written = self._journal.append([change])
        except EdgeAIError as error:
            log.error("the journal cannot be written: %s", error)
            return
        if written:
            self._live.publish(JOURNAL_TOPIC, written[-1].sequence, time.monotonic_ns())


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # until the supervisor listens
    sys.exit(main())
