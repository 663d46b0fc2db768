"""The contract of sinks, as a check: it raises ContractError that says what is broken."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from edgeai_core.decision import Condition, Decision, Priority
from edgeai_core.loop.cycle import Cycle, Fault, FaultKind
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import Sink
from edgeai_core.sample import View

if TYPE_CHECKING:
    pass

from edgeai_core.testing.contract import PATIENCE_S, broken, kind_of


def check_sink(sink: Sink, cycles: Iterable[Cycle[Any]] = ()) -> None:
    """Check that a sink takes any cycle (faults, unknown conditions, late decisions) without raising or blocking.

    ``cycles`` are the app's own, where it wants outputs of its own type.
    """
    given = list(cycles) or list(_some_cycles())
    trouble: list[BaseException] = []

    def put() -> None:
        try:
            for cycle in given:
                sink.put(cycle)
        except BaseException as error:
            trouble.append(error)

    thread = threading.Thread(target=put, daemon=True)
    began = time.monotonic()
    thread.start()
    thread.join(PATIENCE_S + 0.01 * len(given))
    if thread.is_alive():
        broken(
            f"{kind_of(sink)}.put still blocks after {time.monotonic() - began:.0f} s; give it a bounded queue"
        )
    if trouble:
        broken(
            f"{kind_of(sink)}.put raised {kind_of(trouble[0])}: {trouble[0]}; a sink deals with its own trouble"
        )


def _some_cycles() -> Iterator[Cycle[Any]]:
    condition = Condition("CHECK", "subject", Priority.LOW, "a check", {"value": 1.0})
    decision = Decision("output", (condition,), {"topic": [1, 2]})
    fault = Fault(FaultKind.OVERRUN, "a check")
    for number in range(1000):
        snapshot = Snapshot(number, number * 1000, number * 1000, 0, {"input": View((), None)})
        times = number * 1000, number * 1000 + 10
        yield Cycle("check", snapshot, decision, *times)
        yield Cycle("check", snapshot, Decision("output", None), *times, late=decision, fault=fault)
