"""Calls further up where nobody answers: looks at the unanswered alerts once a second, by the policy of the site."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from edgeai_core.alerts import lifecycle, walltime
from edgeai_core.alerts.alert import Alert, AlertEvent
from edgeai_core.alerts.journal import AlertNotFoundError, Journal
from edgeai_core.alerts.lifecycle import EscalationStep
from edgeai_core.decision import Priority
from edgeai_core.errors import JournalError
from edgeai_core.http.journal import JournalWorker

_log = logging.getLogger("edgeai.alerts")
_EVERY_S = 1.0
_MOST = 1000


class Escalator:
    """Knows for how long each unanswered alert has waited, on the monotonic clock.

    What waits already when it starts counts from its last raise by the wall clock: where that clock was set forward
    meanwhile, it calls early, the safer error.
    """

    def __init__(self, steps: Sequence[EscalationStep], now_s: Callable[[], float] = time.monotonic) -> None:
        self._steps = tuple(steps)
        self._priorities = sorted({step.priority.value for step in steps})
        self._now_s = now_s
        self._since_s: dict[tuple[str, Priority], float] = {}
        self._started = False

    async def run(self, worker: JournalWorker) -> None:
        """Look until cancelled; without steps it returns at once."""
        while self._steps:
            try:
                for event in await worker.do(self.look):
                    _log.warning("alert %s: %s is called", event.alert.id, event.alert.escalated_to)
            except JournalError as error:
                _log.error("alerts cannot be escalated: %s", error)
            await asyncio.sleep(_EVERY_S)

    def look(self, journal: Journal) -> list[AlertEvent]:
        """Look once; escalate what is due and return the events."""
        now_s = self._now_s()
        waiting = [
            alert
            for _, alert in journal.alerts(
                state=("raised", "latched"), priority=self._priorities, limit=_MOST
            )
            if lifecycle.unanswered(alert)
        ]
        since_s = {}
        for alert in waiting:
            key = (alert.id, alert.priority)
            before_s = 0.0 if self._started else _waited_s(journal, alert)
            since_s[key] = self._since_s.get(key, now_s - before_s)
        self._since_s, self._started = since_s, True
        events = [
            self._escalate(journal, alert, now_s - since_s[alert.id, alert.priority]) for alert in waiting
        ]
        return [event for event in events if event is not None]

    def _escalate(self, journal: Journal, alert: Alert, waited_s: float) -> AlertEvent | None:
        if lifecycle.escalate(alert, waited_s, self._steps, walltime.now().iso) is None:
            return None  # most often; asked again inside the transaction, for a person may be quicker

        def step(now: Alert, at: str) -> Alert | None:
            return (
                lifecycle.escalate(now, waited_s, self._steps, at) if now.priority is alert.priority else None
            )

        try:
            return journal.change(alert.id, "escalated", "escalation", step)
        except AlertNotFoundError:
            return None


def _waited_s(journal: Journal, alert: Alert) -> float:
    called = [event.at for event in journal.events(alert.id) if event.kind in ("raised", "updated")]
    since = datetime.fromisoformat(called[-1] if called else alert.raised_at).timestamp()
    return max(0.0, walltime.now().wall_ns / 1e9 - since)
