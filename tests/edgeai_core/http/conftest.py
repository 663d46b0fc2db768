"""A real server on a free port, on a thread, with a state folder of the test's own."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from edgeai_core.alerts.alert import AlertEvent
from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.lifecycle import Change
from edgeai_core.alerts.walltime import now
from edgeai_core.decision import Condition, Priority
from edgeai_core.http.server import Server, bind, create_app
from edgeai_core.http.services import MountedApp
from edgeai_core.http.settings import ServeSettings
from edgeai_core.http.tokens import create_token
from edgeai_core.state import State

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    event: str
    data: Any
    id: str | None


class Running:
    """A server that runs, what is in its state folder, and ways to ask it."""

    def __init__(self, folder: Path, mounted: Sequence[MountedApp] = (), **settings: Any) -> None:
        self.state = State(folder).create()
        self.settings = ServeSettings(
            **{"state": folder, "device": "ward-3", "wrong_token_delay_s": 0.001} | settings
        )
        self.app = create_app(self.settings, mounted)
        self.journal = Journal(self.state.journal, device="ward-3")
        listener = bind("127.0.0.1", 0)
        self.port: int = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.server = Server(self.settings, self.app)
        self._thread = threading.Thread(target=self.server.run, args=([listener],))
        self._thread.start()
        self._listener = listener

    def token(self, role: str = "admin", name: str = "") -> str:
        """Make a token."""
        return create_token(self.state, name or f"{role}-{next(_numbers)}", role)

    def client(self, role: str | None = "admin", name: str = "", **options: Any) -> httpx.Client:
        """Return a client with a token of a role; None: without a token."""
        headers = {"Authorization": f"Bearer {self.token(role, name)}"} if role else {}
        return httpx.Client(
            base_url=self.url,
            headers=headers | options.pop("headers", {}),
            timeout=20,
            verify=False,
            **options,
        )

    def changes(self, count: int, **evidence: Any) -> list[AlertEvent]:
        """Journal many alerts in one transaction."""
        conditions = [Condition("VF", f"p{n}", Priority.HIGH, "", evidence) for n in range(count)]
        return self.journal.append(
            Change(True, "healthcare", "ecg", each, now(), f"alert-{next(_numbers)}", by="healthcare.ecg")
            for each in conditions
        )

    def change(
        self, code: str = "VF", subject: str = "patient-1", holds: bool = True, **fields: Any
    ) -> AlertEvent:
        """Journal one change, as a loop would."""
        condition = Condition(
            code,
            subject,
            Priority(fields.pop("priority", "high")),
            f"{code} of {subject}",
            fields.pop("evidence", {}),
        )
        change = Change(
            holds,
            "healthcare",
            "ecg",
            condition,
            now(),
            f"alert-{next(_numbers)}",
            by="healthcare.ecg",
            **fields,
        )
        return self.journal.append([change])[0]

    @contextmanager
    def events(
        self, client: httpx.Client, path: str = "/v1/alerts/stream", **headers: str
    ) -> Iterator[Iterator[Event]]:
        """Open an event stream; what is yielded iterates over its events."""
        with client.stream(
            "GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()}
        ) as answer:
            assert answer.status_code == 200, answer.read()
            yield parse(answer.iter_lines())

    def stop(self) -> None:
        """Stop it and wait."""
        self.server.should_exit = True
        self._thread.join()
        self._listener.close()
        self.journal.close()


def parse(lines: Iterator[str]) -> Iterator[Event]:
    """Yield the events of a stream (comments left out)."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if "data" in fields:
                yield Event(fields.get("event", "message"), json.loads(fields["data"]), fields.get("id"))
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = f"{fields[name]}\n{value}" if name in fields else value


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start servers with settings of their own."""
    running: list[Running] = []

    def begin(mounted: Sequence[MountedApp] = (), **settings: Any) -> Running:
        running.append(Running(tmp_path / f"state-{len(running)}", mounted, **settings))
        return running[-1]

    yield begin
    for each in running:
        each.stop()


@pytest.fixture
def server(start: Callable[..., Running]) -> Running:
    """Start a server with the settings as they are."""
    return start()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for the tests of a file that need none of their own."""
    running = Running(tmp_path_factory.mktemp("shared"))
    yield running
    running.stop()


@pytest.fixture
def problem() -> Callable[[httpx.Response, int], dict[str, Any]]:
    """Return a check that an answer is a problem document of this status; it returns the document."""

    def check(answer: httpx.Response, status: int) -> dict[str, Any]:
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        document: dict[str, Any] = answer.json()
        assert document["status"] == status
        assert document["type"] == "about:blank"
        assert document["title"]
        assert "Traceback" not in answer.text
        return document

    return check
