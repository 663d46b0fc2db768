"""Where a loop's conditions become alerts: the life cycle in the loop, the journal on a thread of its own."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai_core.alerts import walltime
from edgeai_core.alerts.alert import Alert, plain_condition
from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.lifecycle import Change, Key, Observed, Watch, due_ns, observe
from edgeai_core.alerts.writer import MAX_HELD, Adoption, Entry, JournalWriter
from edgeai_core.decision import Condition, Priority, Rule
from edgeai_core.errors import JournalError

if TYPE_CHECKING:
    from edgeai_core.loop.cycle import Cycle, Fault

log = logging.getLogger("edgeai.alerts")

INPUT_STALE = "INPUT_STALE"
STEP_FAILED = "STEP_FAILED"
DEADLINE_MISSED = "DEADLINE_MISSED"
INPUT_REFUSED = "INPUT_REFUSED"

FAULT_RULES: Mapping[str, Rule] = {
    INPUT_STALE: Rule(raise_after_s=0.5, clear_after_s=2.0),
    STEP_FAILED: Rule(clear_after_s=10.0),
    DEADLINE_MISSED: Rule(raise_after_s=1.0, clear_after_s=10.0),
}
"""How a loop's own faults become alerts; a loop's rules for these codes come before them."""

_FAULTS = frozenset(FAULT_RULES)
# Said of a loop by others: the supervisor and the journal's writer clear their own.
_OF_OTHERS = frozenset({"LOOP_DIED", "LOOP_GIVEN_UP", "JOURNAL_UNWRITABLE", INPUT_REFUSED})
_COMMIT_WITHIN_S = 0.5
_NEVER_NS = 2**63


class AlertSink:
    """Takes every cycle of one loop, and writes only what changes.

    A decision whose conditions are those of the last one (code, subject, priority) costs microseconds. On start
    it adopts the loop's alerts that the journal says are active, so an incident that outlives the process stays
    one alert. A fault of a cycle (stale input, exception, overrun) is a condition of its own, under a code above.

    It is also the loop's ledger of durable inputs: ``attempt`` counts, ``commit`` writes. ``put``, ``attempt`` and
    ``commit`` are called on the loop's thread.
    """

    def __init__(
        self,
        app: str,
        loop: str,
        rules: Mapping[str, Rule],
        journal: Path | Callable[[], Journal],
        *,
        device: str = "",
        on_commit: Callable[[int], None] | None = None,
        max_held: int = MAX_HELD,
    ) -> None:
        """Open the journal (a path, or a function that opens one) and start its writer.

        A full disk is waited out, looping; anything else that keeps the journal shut raises JournalError.
        """
        self.name = f"{app}.{loop}"
        self._app = app
        self._loop = loop
        self._rules = {**FAULT_RULES, **rules}
        self._watches: Mapping[Key, Watch] = {}
        self._faults: Mapping[Key, Watch] = {}
        self._last: tuple[Condition, ...] | None = ()
        self._due_ns = _NEVER_NS
        self._handed: tuple[str, int] | None = None
        self._held: list[Change] = []
        self._settling: Entry | None = None
        if isinstance(journal, Path):
            path = journal
            journal = lambda: Journal(path, device=device, on_commit=on_commit)  # noqa: E731
        self._writer = JournalWriter(journal, app, loop, max_held)

    @property
    def dropped(self) -> int:
        """How many entries were lost because too many waited while the journal could not be written."""
        return self._writer.dropped

    def put(self, cycle: Cycle[Any]) -> None:
        """Take one cycle; queue what began or ended. Never waits for the journal."""
        conditions = cycle.conditions_of.conditions
        now_ns = cycle.snapshot.now_ns
        if (
            cycle.fault is None
            and not self._faults
            and now_ns < self._due_ns
            and self._writer.adoption is None
            and _same(conditions, self._last)
        ):
            return
        self._adopt(now_ns)
        said = observe(self._watches, conditions, self._rules, now_ns)
        faults = observe(self._faults, self._conditions_of_fault(cycle.fault), self._rules, now_ns)
        self._watches, self._faults, self._last = said.watches, faults.watches, conditions
        due = due_ns(said.watches, self._rules)
        self._due_ns = _NEVER_NS if due is None else due
        changes = self._changes(said, now_ns) + self._changes(faults, now_ns)
        if cycle.fault is not None and self._is_refusal(cycle.fault):
            changes += self._refusal(cycle.fault, now_ns)
        if self._will_commit(cycle):
            self._held += changes
        elif changes:
            self._writer.submit(Entry(changes))

    def attempt(self, source: str, sequence: int) -> int:
        """Count, durably, that an item is handed to the step; return the how-manieth time.

        While the journal cannot be written nothing is counted, and 1 is returned: the item is worth a try.
        """
        self._handed = (source, sequence)
        try:
            return self._writer.journal.attempt(source, sequence) if self._writer.journal else 1
        except JournalError as error:
            log.error("an attempt at item %d of %r could not be counted: %s", sequence, source, error)
            return 1

    def commit(self, cycle: Cycle[Any], source: str, sequence: int) -> bool:
        """Write the cycle's changes and the item's sequence in one transaction; False where it is not written yet.

        Called after ``put`` of that cycle, and again with the same item until it returns True.
        """
        if self._settling is None or self._settling.input != (source, sequence):
            self._settling = Entry(self._held, (source, sequence))
            self._held = []
            self._writer.submit(self._settling)
        if not self._settling.written.wait(_COMMIT_WITHIN_S):
            return False
        self._settling = self._handed = None
        return True

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything is written; False where that took too long. Not for the loop's thread."""
        return self._writer.flush(timeout_s)

    def close(self) -> None:
        """Write what waits, and close the journal. What is active stays so: a loop that ends clears nothing."""
        self._writer.close()

    # Helpers

    def _changes(self, observed: Observed, now_ns: int) -> list[Change]:
        if not observed.began and not observed.ended:
            return []
        moment = walltime.now(now_ns)
        return [
            self._change(condition, moment, holds=holds)
            for holds, conditions in ((True, observed.began), (False, observed.ended))
            for condition in conditions
        ]

    def _change(
        self, condition: Condition, moment: walltime.Moment, *, holds: bool, latched: bool = False
    ) -> Change:
        rule = self._rules.get(condition.code)
        if not holds:  # the evidence of its beginning stays
            condition = Condition(condition.code, condition.subject, condition.priority)
        return Change(
            holds=holds,
            app=self._app,
            loop=self._loop,
            condition=plain_condition(condition),  # now: the step may change its evidence later
            moment=moment,
            alert_id=uuid.uuid4().hex,
            by=self.name,
            latched=latched or (rule is not None and rule.latched),
        )

    def _adopt(self, now_ns: int) -> None:
        """Take what the journal says stands as what stands; what it does not hold is to be raised anew."""
        adoption = self._writer.adoption
        if adoption is None:
            return
        self._writer.adoption = None
        if self._held or not self._writer.is_current(adoption):
            self._writer.compare()
            return
        self._watches = _adopted(
            self._watches, adoption, now_ns, lambda code: code not in _FAULTS | _OF_OTHERS
        )
        self._faults = _adopted(self._faults, adoption, now_ns, lambda code: code in _FAULTS)

    def _conditions_of_fault(self, fault: Fault | None) -> tuple[Condition, ...]:
        if fault is None or self._is_refusal(fault):
            return ()
        code, priority = {
            "stale": (INPUT_STALE, Priority.MEDIUM),
            "exception": (STEP_FAILED, Priority.MEDIUM),
            "overrun": (DEADLINE_MISSED, Priority.LOW),
        }[fault.kind.value]
        return (self._condition(code, self.name, priority, fault),)

    def _condition(self, code: str, subject: str, priority: Priority, fault: Fault) -> Condition:
        evidence = {
            "fault": fault.kind.value,
            "input": fault.input,
            "age_s": None if fault.age_ns is None else fault.age_ns / 1e9,
            "made_by": fault.made_by,
            "cause": fault.cause,
        }
        return Condition(code, subject, priority, fault.message, evidence)

    def _is_refusal(self, fault: Fault) -> bool:
        return self._handed is not None and fault.kind.value == "exception" and fault.input == self._handed[0]

    def _refusal(self, fault: Fault, now_ns: int) -> list[Change]:
        """A refused item happens rather than holds: it is raised and over at once, and waits for a person."""
        assert self._handed is not None
        source, sequence = self._handed
        condition = self._condition(INPUT_REFUSED, f"{source}#{sequence}", Priority.MEDIUM, fault)
        moment = walltime.now(now_ns)
        return [self._change(condition, moment, holds=holds, latched=True) for holds in (True, False)]

    def _will_commit(self, cycle: Cycle[Any]) -> bool:
        """Whether the loop will commit a durable item with this cycle: a fallback never does, a refusal does."""
        if self._handed is None:
            return False
        view = cycle.snapshot.views.get(self._handed[0])
        if view is None or view.latest is None or view.latest.sequence != self._handed[1]:
            return False
        return cycle.fault is None or cycle.late is not None or self._is_refusal(cycle.fault)


def _same(conditions: tuple[Condition, ...] | None, last: tuple[Condition, ...] | None) -> bool:
    """Whether two decisions say the same: by incident and priority, in order. Evidence changes with every cycle."""
    if conditions is last:
        return True
    if conditions is None or last is None or len(conditions) != len(last):
        return False
    return all(
        a is b or (a.code == b.code and a.subject == b.subject and a.priority is b.priority)
        for a, b in zip(conditions, last, strict=True)
    )


def _adopted(
    watches: Mapping[Key, Watch], adoption: Adoption, now_ns: int, mine: Callable[[str], bool]
) -> dict[Key, Watch]:
    active = {Key(a.code, a.subject): a for a in adoption.alerts if a.active and mine(a.code)}
    after: dict[Key, Watch] = {}
    for key, watch in watches.items():
        plain = plain_condition(watch.condition)
        alert = active.pop(Key(plain.code, plain.subject), None)
        standing = alert is not None
        after[key] = (
            watch if watch.standing is standing else Watch(watch.condition, watch.since_ns, None, standing)
        )
    for key, alert in active.items():
        after[key] = Watch(_condition_of(alert), now_ns, standing=True)
    return after


def _condition_of(alert: Alert) -> Condition:
    return Condition(alert.code, alert.subject, alert.priority, alert.title, alert.evidence)
