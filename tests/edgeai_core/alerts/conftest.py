"""What the alert tests share: conditions, changes, cycles and journals."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.lifecycle import Change
from edgeai_core.alerts.sink import AlertSink
from edgeai_core.alerts.walltime import Moment
from edgeai_core.decision import Condition, Decision, Priority, Rule
from edgeai_core.loop.cycle import Cycle, Fault
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.sample import Sample, View

settings.register_profile("unhurried", deadline=None)  # no property depends on the machine's speed
settings.load_profile("unhurried")

_START_NS = 1_764_000_000_000_000_000


@pytest.fixture
def journal_path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite3"


@pytest.fixture
def journal(journal_path: Path) -> Iterator[Journal]:
    opened = Journal(journal_path, device="ward-3")
    yield opened
    opened.close()


@pytest.fixture
def moment() -> Callable[[float], Moment]:
    return lambda seconds=0.0: Moment(_START_NS + round(seconds * 1e9), round(seconds * 1e9), "boot-1", True)


@pytest.fixture
def condition() -> Callable[..., Condition]:
    def make(
        code: str = "VF", subject: str = "patient-1", priority: str = "high", **evidence: object
    ) -> Condition:
        return Condition(code, subject, Priority(priority), f"{code} of {subject}", evidence)

    return make


@pytest.fixture
def change(condition: Callable[..., Condition], moment: Callable[[float], Moment]) -> Callable[..., Change]:
    numbers = itertools.count(1)

    def make(
        holds: bool = True,
        code: str = "VF",
        subject: str = "patient-1",
        priority: str = "high",
        *,
        at_s: float = 0.0,
        latched: bool = False,
        **evidence: object,
    ) -> Change:
        said = condition(code, subject, priority, **evidence)
        return Change(
            holds,
            "healthcare",
            "ecg",
            said,
            moment(at_s),
            f"id-{next(numbers)}",
            by="healthcare.ecg",
            latched=latched,
        )

    return make


@pytest.fixture
def cycle() -> Callable[..., Cycle[Any]]:
    numbers = itertools.count()

    def make(
        conditions: tuple[Condition, ...] | None = (),
        *,
        at_s: float = 0.0,
        fault: Fault | None = None,
        late: tuple[Condition, ...] | None = None,
        views: dict[str, Any] | None = None,
    ) -> Cycle[Any]:
        at_ns = round(at_s * 1e9)
        return Cycle(
            "ecg",
            Snapshot(next(numbers), at_ns, at_ns, 0, views or {}),
            Decision(None, conditions),
            at_ns,
            at_ns,
            Decision(None, late) if late is not None else None,
            fault,
        )

    return make


@pytest.fixture
def logged() -> Iterator[Callable[[str], threading.Event]]:
    """Return a function that gives an event which is set when a message with some text is logged."""
    logger = logging.getLogger("edgeai.alerts")
    handlers: list[logging.Handler] = []

    def watch(text: str) -> threading.Event:
        seen = threading.Event()

        class Watcher(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                if text in record.getMessage():
                    seen.set()

        handlers.append(Watcher())
        logger.addHandler(handlers[-1])
        return seen

    yield watch
    for handler in handlers:
        logger.removeHandler(handler)


@pytest.fixture
def sink(journal_path: Path) -> Iterator[Callable[..., AlertSink]]:
    """Return a function that makes an alert sink of a loop; they are closed at the end."""
    made: list[AlertSink] = []

    def make(rules: dict[str, Rule] | None = None, journal: Any = journal_path, **options: Any) -> AlertSink:
        made.append(AlertSink("healthcare", "ecg", rules or {}, journal, device="ward-3", **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def events_of(path: Path) -> list[tuple[str, str, str]]:
    """Return what a journal holds: kind, code and subject of every event."""
    journal = Journal(path, device="ward-3", read_only=True)
    found = [
        (event.kind, event.alert.code, event.alert.subject) for event in journal.events_after(0, limit=1000)
    ]
    journal.close()
    return found


def study(sequence: int) -> dict[str, View[str]]:
    """Return the views of a cycle that was given one study of a durable input."""
    sample = Sample("study", time_ns=0, received_ns=0, sequence=sequence)
    return {"studies": View((sample,), age_ns=0)}
