"""What a loop asks of the machine: granted as asked, or refused with the way to get it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from edgeai_core.cli import machine
from edgeai_core.loop import realtime
from edgeai_core.loop.realtime import apply_realtime
from edgeai_core.loop.spec import Realtime

PROGRAM = """
import os, threading
from edgeai_core.clock import MonotonicClock
from edgeai_core.decision import Decision
from edgeai_core.errors import EndOfStream
from edgeai_core.loop.loop import Loop
from edgeai_core.loop.realtime import apply_realtime
from edgeai_core.loop.spec import Every, Input, LoopSpec, Parts, Realtime

found = {}
def priority():
    return os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
class Source:
    name = "source"
    def open(self, clock): found["reader"] = priority()
    def read(self, timeout_s): raise EndOfStream
    def close(self): pass
def step(snapshot):
    found["loop"] = priority()
    loop.stop()
    return Decision(None)
wish = Realtime(priority=40)
print(bool(apply_realtime(wish)))
spec = LoopSpec("x", Every(100), (Input("source", required=False),), lambda: Parts((Source(),), step, step), 1.0,
                Decision(None), realtime=wish)
loop = Loop(spec, spec.build(), MonotonicClock())
loop.run()
print(found["reader"] == (os.SCHED_FIFO, 1), found["loop"] == (os.SCHED_FIFO, 40))
"""


def test_a_loop_runs_above_its_helpers_and_they_above_ordinary_programs() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    refused, granted = done.stdout.splitlines()
    if refused == "True":
        pytest.skip("this machine grants no real-time priority")
    assert granted == "True True"


def test_what_the_machine_refuses_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    monkeypatch.setattr(realtime, "_libc", refuse)
    monkeypatch.setattr(realtime, "_allow", lambda limit: None)
    monkeypatch.setattr(sys, "setswitchinterval", lambda seconds: None)
    refused = apply_realtime(Realtime(cores=(900,), priority=40, lock_memory=True))
    slack, cores, priority, memory = refused
    assert "timer slack" in slack
    assert "cores 900 (this process may use " in cores
    assert "LimitRTPRIO=80" in priority
    assert "--ulimit rtprio=80" in priority
    assert "LimitMEMLOCK=infinity" in memory
    assert all(each.endswith("Operation not permitted") for each in refused)


def test_doctor_tries_what_loops_may_ask_for() -> None:
    findings = {each.name: each for each in machine.real_time()}
    assert set(findings) == {"real time", "locked memory"}
    for each in findings.values():
        assert (each.status == "ok") == (each.remedy == "")
