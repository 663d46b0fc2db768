"""Sends the journal's events to webhook receivers: each in the journal's order, from a position that the journal keeps.

A receiver that is down is tried again and again, the more seldom the longer it has been down, for as long as it takes:
its position holds, and retention waits for it. What a receiver refuses for good becomes a dead letter. An event that
was sent, but whose position could not be noted before this process ended, is sent once more under the same id.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import random
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import httpx

from edgeai_core.alerts import outbox, walltime
from edgeai_core.alerts.alert import AlertEvent
from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.lifecycle import Change
from edgeai_core.alerts.receivers import Receiver, read_receivers
from edgeai_core.alerts.webhook import Message, message
from edgeai_core.decision import Condition, Priority
from edgeai_core.errors import ConfigError, InputError, JournalError
from edgeai_core.http.feed import AlertFeed
from edgeai_core.http.journal import JournalWorker
from edgeai_core.private_file import file_stamp
from edgeai_core.state import State

FAILING = "WEBHOOK_FAILING"
REFUSED = "WEBHOOK_REFUSED"
FAILING_AFTER_S = 60.0
TIMEOUT_S = 10.0
"""How long a receiver may take for one event, from connecting to the head of its answer."""

T = TypeVar("T")
P = ParamSpec("P")

_log = logging.getLogger("edgeai.webhooks")
_FIRST_PAUSE_S = 1.0
_LAST_PAUSE_S = 300.0
_LONGEST_RETRY_AFTER_S = 3600.0
_REFUSALS = 3
_PAGE = 100
_LOOK_EVERY_S = 2.0
# Answers that say something of the receiver or of the moment, not of the event: waited out like silence.
_NOT_OF_THE_EVENT = frozenset({401, 402, 403, 404, 405, 407, 408, 410, 421, 423, 425, 426, 429, 451})


class Outcome(Enum):
    """What one attempt came to."""

    TAKEN = "taken"
    REFUSED = "refused"
    DOWN = "down"


@dataclass(frozen=True)
class Answer:
    """What a receiver said; ``retry_after_s`` where it asked for a pause."""

    outcome: Outcome
    reason: str = ""
    retry_after_s: float = 0.0


def pause_s(down_for_s: float, retry_after_s: float = 0.0, jitter: float = 0.5) -> float:
    """Return how long to wait before the next attempt at a receiver that has been down for so long.

    An eighth of that time, from 1 s up to 5 minutes, or what it asked for up to an hour; give or take a tenth
    (``jitter`` from 0 to 1), so that many devices do not come back at one moment.
    """
    wanted_s = min(_LAST_PAUSE_S, max(_FIRST_PAUSE_S, down_for_s / 8)) * (0.9 + 0.2 * jitter)
    return max(wanted_s, min(retry_after_s, _LONGEST_RETRY_AFTER_S))


async def post(client: httpx.AsyncClient, url: str, what: Message) -> Answer:
    """Post one message and say what became of it. Of the answer only its head is read."""
    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            client.stream("POST", url, content=what.body, headers=what.headers) as answer,
        ):
            return _judged(answer)
    except TimeoutError:
        return Answer(Outcome.DOWN, f"no answer within {TIMEOUT_S:g} s")
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ssl.SSLError) as error:
        return Answer(Outcome.DOWN, f"{type(error).__name__}: {error}".removesuffix(": "))


def http_client() -> httpx.AsyncClient:
    """Return the client: certificates are checked against this machine's own store, redirects are not followed."""
    return httpx.AsyncClient(
        verify=ssl.create_default_context(),
        timeout=TIMEOUT_S,
        follow_redirects=False,
        headers={"user-agent": "edgeai"},
    )


@dataclass(frozen=True)
class Way:
    """How a deliverer waits, tells the time and reaches out."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    now_s: Callable[[], float] = time.monotonic
    client: Callable[[], httpx.AsyncClient] = http_client


class Deliverer:
    """One task for each receiver of `webhooks.toml`, started and ended as the file changes.

    Of several servers on one state only one delivers; the others stand by.
    """

    def __init__(
        self,
        state: State,
        worker: JournalWorker,
        feed: AlertFeed,
        device: str,
        way: Way | None = None,
    ) -> None:
        self._state = state
        self._worker = worker
        self._feed = feed
        self._device = device
        self._way = way or Way()
        self._tasks: dict[Receiver, asyncio.Task[None]] = {}
        self._broken = ""

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with _only_one(self._state.run / "webhooks.lock"):
            identity = await self._worker.do(outbox.identity)
            async with self._way.client() as client:
                try:
                    stamp: tuple[int, ...] | None = None
                    while True:
                        fresh = file_stamp(self._state.webhooks)
                        if fresh != stamp and await self._take_over(client, identity):
                            stamp = fresh
                        await self._way.sleep(_LOOK_EVERY_S)
                finally:
                    await _end(list(self._tasks.values()))
                    self._tasks.clear()

    async def _take_over(self, client: httpx.AsyncClient, identity: str) -> bool:
        """Serve the receivers that the file names now; a file that cannot be read changes nothing."""
        try:
            receivers = await asyncio.to_thread(read_receivers, self._state.webhooks)
        except ConfigError as error:
            if str(error) != self._broken:
                _log.error("the webhooks stay as they were: %s", error)
            self._broken = str(error)
            return False
        self._broken = ""
        await _end([self._tasks.pop(each) for each in set(self._tasks) - set(receivers)])
        for receiver in receivers:
            if receiver not in self._tasks:
                line = _Line(receiver, client, identity, self._worker, self._feed, self._device, self._way)
                self._tasks[receiver] = asyncio.create_task(line.run())
        return True


class _Line:
    """One receiver's events, one after the other."""

    def __init__(
        self,
        receiver: Receiver,
        client: httpx.AsyncClient,
        identity: str,
        worker: JournalWorker,
        feed: AlertFeed,
        device: str,
        way: Way,
    ) -> None:
        self._receiver = receiver
        self._name = receiver.name
        self._client = client
        self._identity = identity
        self._worker = worker
        self._feed = feed
        self._device = device
        self._way = way
        self._down_since_s: float | None = None
        self._failing = True  # what an earlier run said of it is cleared by the first delivery
        self._reason = ""

    async def run(self) -> None:
        """Deliver until cancelled; a journal that cannot be used now is tried again."""
        while True:
            try:
                await self._deliver()
            except JournalError as error:
                _log.error("webhook %s waits for the journal: %s", self._name, error)
            except Exception:
                _log.exception("webhook %s failed and starts again", self._name)
            await self._way.sleep(_LOOK_EVERY_S)

    async def _deliver(self) -> None:
        position = noted = await self._do(outbox.enter, self._name, from_now=False)
        await self._note_dead("")  # this process may have ended before it could
        while True:
            for letter in await self._do(outbox.dead_letters, self._name, again=True):
                await self._send_dead(letter.event)
            events = await self._do(Journal.events_after, position, _PAGE)
            for event in events:
                if self._receiver.wants(event):
                    await self._send(event)
                    noted = event.sequence
                position = event.sequence
            if position > noted:  # what it does not want counts as delivered: retention need not wait for it
                await self._do(Journal.deliver, self._name, position)
                noted = position
            if not events:
                await self._feed.reached(position, _LOOK_EVERY_S)

    async def _send(self, event: AlertEvent) -> None:
        """Send one event, for as long as it takes."""
        refusals = 0
        while True:
            answer = await self._attempt(event)
            if answer.outcome is Outcome.TAKEN:
                await self._note_well(event.sequence)
                return
            refusals += answer.outcome is Outcome.REFUSED
            if refusals >= _REFUSALS and await self._do(outbox.bury, self._name, event, answer.reason):
                _log.error(
                    "webhook %s refused event %d for good: %s", self._name, event.sequence, answer.reason
                )
                await self._note_dead(answer.reason)
                return
            await self._wait(answer)

    async def _send_dead(self, event: AlertEvent) -> None:
        """Send a dead letter once more; refused again it stays one."""
        answer = await self._attempt(event)
        while answer.outcome is Outcome.DOWN:
            await self._wait(answer)
            answer = await self._attempt(event)
        if answer.outcome is Outcome.REFUSED:
            await self._do(outbox.bury, self._name, event, answer.reason)
            return
        with contextlib.suppress(InputError):  # somebody has discarded it meanwhile
            await self._do(outbox.discard, self._name, event.sequence)
        await self._note_dead("")

    async def _attempt(self, event: AlertEvent) -> Answer:
        what = message(event, self._identity, self._device, self._receiver.secrets, datetime.now(UTC))
        return await post(self._client, self._receiver.url, what)

    async def _wait(self, answer: Answer) -> None:
        if self._down_since_s is None:
            self._down_since_s = self._way.now_s()
            _log.warning("webhook %s does not take event: %s", self._name, answer.reason)
        down_for_s = self._way.now_s() - self._down_since_s
        if answer.reason != self._reason:
            self._reason = answer.reason
            await self._do(outbox.note_failure, self._name, answer.reason)
        if down_for_s >= FAILING_AFTER_S:
            await self._say_failing(True, answer.reason)
        await self._way.sleep(pause_s(down_for_s, answer.retry_after_s, random.random()))  # noqa: S311

    async def _note_well(self, sequence: int) -> None:
        await self._do(outbox.note_delivered, self._name, sequence)
        if self._down_since_s is not None:
            _log.info("webhook %s takes events again", self._name)
        self._down_since_s, self._reason = None, ""
        await self._say_failing(False, "")

    async def _say_failing(self, failing: bool, reason: str) -> None:
        if failing is self._failing and not failing:
            return
        self._failing = failing
        title = f"Webhook {self._name} has taken no alert for more than {FAILING_AFTER_S:g} s; they wait in the journal"
        await self._tell(FAILING, failing, title, reason)

    async def _note_dead(self, reason: str) -> None:
        left = await self._do(outbox.dead_letters, self._name, limit=1)
        title = f"Webhook {self._name} refused alerts for good: they are kept as dead letters"
        await self._tell(REFUSED, bool(left), title, reason)

    async def _tell(self, code: str, holds: bool, title: str, reason: str) -> None:
        condition = Condition(code, self._name, Priority.MEDIUM, title, {"reason": reason})
        change = Change(
            holds, "edgeai", "webhooks", condition, walltime.now(), uuid.uuid4().hex, by="webhooks"
        )
        await self._do(Journal.append, [change])

    async def _do(self, work: Callable[Concatenate[Journal, P], T], *given: P.args, **named: P.kwargs) -> T:
        return await self._worker.do(lambda journal: work(journal, *given, **named))


def _judged(answer: httpx.Response) -> Answer:
    status = answer.status_code
    if 200 <= status < 300:
        return Answer(Outcome.TAKEN)
    reason = f"it answered {status} {answer.reason_phrase}".rstrip()
    if 400 <= status < 500 and status not in _NOT_OF_THE_EVENT:
        return Answer(Outcome.REFUSED, reason)
    asked = answer.headers.get("retry-after", "")
    return Answer(Outcome.DOWN, reason, float(asked) if asked.isdecimal() and len(asked) < 9 else 0.0)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def _only_one(path: Path) -> AsyncIterator[None]:
    """Wait until no other process holds the lock, and hold it; the kernel lets go of it however a process ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(_LOOK_EVERY_S)
        yield
    finally:
        os.close(descriptor)
