"""``edgeai demo``: the sample recordings at real speed through every app that has some, with the page."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeai_core.app import app_names, load_app
from edgeai_core.cli.top import loop_statistics, loops_table
from edgeai_core.errors import ConfigError, EdgeAIError
from edgeai_core.state import State

if TYPE_CHECKING:
    from edgeai_core.alerts.alert import Alert, AlertEvent

ADDRESS = "127.0.0.1:8080"
SECONDS_WITHOUT_TERMINAL = 60.0
MARGIN_S = 10.0
"""An alert is expected where the recordings raise it this long before the end: processes take time to start."""

_LOOK_EVERY_S = 0.25
_SERVER_WITHIN_S = 120.0


@dataclass(frozen=True)
class Cast:
    """What the demo plays: ``edgeai run``'s arguments, and (app, code, seconds) of the alerts to come.

    ``in_time`` names the codes that come only where the machine keeps the deadlines of their app.
    """

    arguments: tuple[str, ...]
    expected: tuple[tuple[str, str, float], ...]
    in_time: frozenset[str] = frozenset()


def demo(
    samples: Annotated[
        Path, typer.Option(metavar="DIR", help="Recordings as DIR/<app>/<loop>/<name>.")
    ] = Path("data_samples"),
    seconds: Annotated[
        float | None, typer.Option(min=1, help="End after so long. Without a terminal: 60.")
    ] = None,
) -> None:
    """Play the sample recordings in a loop, with a temporary state and the page, until Ctrl-C.

    With --seconds, or without a terminal, it ends by itself: well only if the alerts came that the recordings hold.
    """
    from rich.console import Console

    console = Console()
    if seconds is None and not console.is_terminal:
        seconds = SECONDS_WITHOUT_TERMINAL
    cast = choose_cast(samples)
    with tempfile.TemporaryDirectory(prefix="edgeai-demo-") as folder:
        state = State(Path(folder))
        with _running(state, cast.arguments) as process:
            typer.echo(f"the page: {_address(state, process)}")
            came, late = _watch(console, state, process, seconds)
    if seconds is None:
        return
    due = {code: app for app, code, at_s in cast.expected if at_s + MARGIN_S <= seconds and code not in came}
    missing = sorted(code for code, app in due.items() if not (code in cast.in_time and app in late))
    for code in sorted(set(due) - set(missing)):
        typer.echo(f"{due[code]} missed its deadlines on this machine: {code} was not to be expected")
    if missing:
        raise EdgeAIError(
            f"these alerts did not come: {', '.join(missing)} (came: {', '.join(sorted(came)) or 'none'})"
        )
    typer.echo(f"the expected alerts came: {', '.join(sorted(came)) or 'none'}")


def choose_cast(samples: Path) -> Cast:
    """Return what to play of a folder of recordings. Raises ConfigError where nothing in it can be played."""
    from edgeai_core.testing.decisions import decisions_file, read_decisions, recordings_in

    arguments: list[str] = []
    expected: list[tuple[str, str, float]] = []
    in_time: set[str] = set()
    for name in app_names():
        app = load_app(name)
        offsets: dict[str, float] = {}
        for _, loop, path in recordings_in(samples, app):
            if loop not in offsets:
                arguments += ["--input", f"{name}.{loop}={path.parent}"]
            start_s = offsets.setdefault(loop, 0.0)
            lines = read_decisions(path) if decisions_file(path).exists() else []
            expected += [(name, *each) for each in _raised(lines, start_s)]
            promised = [(name, *each) for each in _promised(path, start_s)]
            expected += promised
            in_time |= {code for _, code, _ in promised}
            offsets[loop] = start_s + max((line["time_s"] for line in lines), default=0.0)
        if offsets:
            arguments = [name, *arguments]
            arguments += [f"--set={name}.{field}={value}" for field, value in app.demo.items()]
    if not arguments:
        raise ConfigError(
            f"{samples}: holds no recording of an installed app; run this in a checkout of the project, or name "
            "another folder with --samples"
        )
    return Cast(tuple(arguments), tuple(expected), frozenset(in_time))


def _raised(lines: Sequence[Mapping[str, Any]], start_s: float) -> Iterator[tuple[str, float]]:
    standing: set[str] = set()
    for line in lines:
        now = set(line.get("alerts", standing))
        for alert in sorted(now - standing):
            yield alert.split(" ")[0], start_s + line["time_s"]
        standing = now


def _promised(recording: Path, start_s: float) -> Iterator[tuple[str, float]]:
    """Yield what ``<name>.alerts.json`` beside a recording promises of loops that live of the recorded one, in time."""
    beside = recording.with_name(f"{recording.stem}.alerts.json")
    if beside.exists():
        for code, at_s in json.loads(beside.read_text(encoding="utf-8")).items():
            yield code, start_s + at_s


@contextmanager
def _running(state: State, arguments: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``edgeai run`` beside this process, its logs in the state folder; stop it in order at the end."""
    from edgeai_core.process.parent import PARENT_VARIABLE

    command = [sys.executable, "-m", "edgeai_core.cli.main", "run", *arguments]
    command += [
        "--state",
        str(state.root),
        "--serve",
        ADDRESS,
        "--next-free-port",
        "--loopback-without-token",
    ]
    environment = {**os.environ, PARENT_VARIABLE: str(os.getpid())}
    with open(_log(state), "wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, process_group=0
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(state: State, process: subprocess.Popen[bytes]) -> str:
    """Wait for the server and return the address of its page."""
    deadline = time.monotonic() + _SERVER_WITHIN_S
    while time.monotonic() < deadline:
        _still_runs(state, process)
        try:
            return str(json.loads((state.run / "serve.json").read_text())["url"])
        except FileNotFoundError:
            time.sleep(0.1)
    raise EdgeAIError(f"the server has not started within {_SERVER_WITHIN_S:g} s")


def _watch(
    console: Any, state: State, process: subprocess.Popen[bytes], seconds: float | None
) -> tuple[set[str], set[str]]:
    """Show loops and alerts until the time is over or Ctrl-C; return the codes that came, and which apps were late."""
    from contextlib import nullcontext

    from rich.console import Group
    from rich.live import Live

    ends_at = math.inf if seconds is None else time.monotonic() + seconds
    stop = threading.Event()
    # A flag, for an exception in the wrong place (a callback, a destructor) would be lost.
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    events = _Events(state)
    live = Live(console=console, refresh_per_second=4) if console.is_terminal else nullcontext()
    try:
        with live:
            while not stop.is_set() and time.monotonic() < ends_at:
                _still_runs(state, process)
                for event in events.new():
                    console.print(_words(event), highlight=False, markup=False, soft_wrap=True)
                if isinstance(live, Live):
                    live.update(Group("", loops_table(loop_statistics(state)), *_standing(events.standing())))
                stop.wait(_LOOK_EVERY_S)
    finally:
        signal.signal(signal.SIGINT, before)
        events.close()
    return events.codes, events.late


class _Events:
    """The journal's events as they come, and what stands now."""

    def __init__(self, state: State) -> None:
        from edgeai_core.alerts.journal import Journal

        self.codes: set[str] = set()
        self.late: set[str] = set()
        self._sequence = 0
        self._journal = Journal(state.create().journal, device=socket.gethostname())

    def new(self) -> list[AlertEvent]:
        from edgeai_core.alerts.sink import DEADLINE_MISSED

        events = self._journal.events_after(self._sequence)
        if events:
            self._sequence = events[-1].sequence
            raised = [event.alert for event in events if event.kind == "raised"]
            self.codes |= {alert.code for alert in raised}
            self.late |= {alert.app for alert in raised if alert.code == DEADLINE_MISSED}
        return events

    def standing(self) -> list[Alert]:
        return self._journal.open_alerts()

    def close(self) -> None:
        self._journal.close()


def _standing(alerts: list[Alert]) -> list[Any]:
    from rich.text import Text

    colours = {"high": "bold white on red", "medium": "black on yellow", "low": "black on cyan"}
    return [
        Text(
            f" {alert.priority.value.upper()}  {alert.title}  {alert.subject}  {alert.state.value} ",
            colours[alert.priority],
        )
        for alert in alerts
    ] or [Text("no alert stands", "dim")]


def _words(event: AlertEvent) -> str:
    alert = event.alert
    what = f"{alert.title} ({alert.code}), {alert.subject}"
    return f"{event.at[11:23]}  {event.kind:<12} {alert.priority.value:<6} {what}"


def _still_runs(state: State, process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        last = _log(state).read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise EdgeAIError(f"the demo's run ended with code {process.returncode}: {last[0]}")


def _log(state: State) -> Path:
    return state.root / "run.log"
