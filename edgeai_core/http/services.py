"""What the routes work with: one object, made at start and closed at the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request

from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.policy import AlertPolicy, load_policy
from edgeai_core.app import App, load_app
from edgeai_core.config import load_config
from edgeai_core.errors import JournalError
from edgeai_core.http.auth import SlowDown
from edgeai_core.http.deliverer import Deliverer
from edgeai_core.http.escalation import Escalator
from edgeai_core.http.feed import AlertFeed
from edgeai_core.http.hub import LiveHub
from edgeai_core.http.journal import JournalWorker
from edgeai_core.http.limits import Slots
from edgeai_core.http.settings import ServeSettings
from edgeai_core.http.tokens import TokenStore
from edgeai_core.http.watch import LoopWatch
from edgeai_core.state import State
from edgeai_core.topics.live import JOURNAL_TOPIC

_log = logging.getLogger("edgeai.http")
_PRUNE_EVERY_S = 3600.0


@dataclass(frozen=True)
class MountedApp:
    """An app with the configuration that it is served with."""

    app: App
    config: Any

    @property
    def loops(self) -> list[str]:
        """The names of its loops."""
        return [spec.name for spec in self.app.loops(self.config)]


def load_mounted(settings: ServeSettings) -> list[MountedApp]:
    """Load the apps that the settings name, each with its configuration. Raises ConfigError."""
    apps = [load_app(name) for name in settings.apps]
    return [MountedApp(app, load_config(app, settings.config)) for app in apps]


@dataclass
class Services:
    """The server's parts. ``writer``, ``reader`` and ``feed`` each have their own connection to the journal."""

    settings: ServeSettings
    mounted: Sequence[MountedApp]
    state: State = field(init=False)
    policy: AlertPolicy = field(init=False)
    tokens: TokenStore = field(init=False)
    slow_down: SlowDown = field(init=False)
    slots: Slots = field(init=False)
    watch: LoopWatch = field(init=False)
    answers: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    writer: JournalWorker = field(init=False)
    reader: JournalWorker = field(init=False)
    feed: AlertFeed = field(init=False)
    hub: LiveHub = field(init=False)

    def __post_init__(self) -> None:
        settings = self.settings
        self.state = State(settings.state)
        self.policy = load_policy(settings.config)
        self.tokens = TokenStore(self.state.tokens)
        self.slow_down = SlowDown(settings.wrong_token_delay_s)
        self.slots = Slots(settings.max_streams, settings.max_streams_each)
        self.watch = LoopWatch(self.state.run, settings.loops, settings.stall_after_s)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open everything, and close it in order. Raises JournalError, ConfigError, SensorError."""
        self.state.create()
        loop = asyncio.get_running_loop()
        device = self.settings.device or socket.gethostname()

        def committed(sequence: int) -> None:
            loop.call_soon_threadsafe(self.feed.nudge)

        async with contextlib.AsyncExitStack() as stack:
            path = self.state.journal
            self.writer = JournalWorker(Journal(path, device=device, on_commit=committed), "write")
            stack.callback(self.writer.close)
            self.reader = JournalWorker(Journal(path, device=device, read_only=True), "read")
            stack.callback(self.reader.close)
            follower = JournalWorker(Journal(path, device=device, read_only=True), "follow")
            stack.callback(follower.close)
            self.feed = AlertFeed(follower, self.settings.journal_poll_s)
            await self.feed.open()
            self.hub = LiveHub(self.state.run, {JOURNAL_TOPIC: self.feed.nudge})
            self.hub.open()
            stack.callback(self.end_streams)
            await asyncio.to_thread(self.watch.look)
            deliveries = JournalWorker(Journal(path, device=device, on_commit=committed), "deliver")
            stack.callback(deliveries.close)
            deliverer = Deliverer(self.state, deliveries, self.feed, device)
            escalator = Escalator(self.policy.steps())
            works = (
                self.feed.run,
                self.watch.run,
                self._prune,
                deliverer.run,
                lambda: escalator.run(self.writer),
            )
            for work in works:
                stack.push_async_callback(_cancel, asyncio.create_task(_kept_up(work)))
            yield

    def end_streams(self) -> None:
        """Let every open event stream end."""
        self.feed.close()
        self.hub.close()

    async def _prune(self) -> None:
        """Keep the journal within its retention: a gateway has no loop that would."""
        while True:
            try:
                await self.writer.do(Journal.prune)
            except JournalError as error:
                _log.error("the journal cannot be pruned: %s", error)
            await asyncio.sleep(_PRUNE_EVERY_S)


def services_of(request: Request) -> Services:
    """Return the server's parts, for a route."""
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


async def _services(request: Request) -> Services:
    return services_of(request)


Parts = Annotated[Services, Depends(_services)]


async def _kept_up(work: Callable[[], Awaitable[None]]) -> None:
    """Run what goes on for ever, and again where it failed: a stream that stands still for good helps nobody."""
    while True:
        try:
            await work()
            return
        except Exception:
            _log.exception("a part of the server failed and starts again")
            await asyncio.sleep(1.0)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
