"""``edgeai run``: checks everything, then becomes the supervisor of one process per loop."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeai_core.cli.options import Chosen, ConfigOption, InputOption, SetOption, StateOption, choose
from edgeai_core.cli.serve import parse_address, serve_arguments
from edgeai_core.errors import ConfigError
from edgeai_core.loop.spec import Every, LoopSpec
from edgeai_core.state import State, find_state

if TYPE_CHECKING:
    from edgeai_core.process.run import PlannedChild


def run(
    apps: Annotated[list[str], typer.Argument(metavar="APP...", help="Apps, or single loops as APP.LOOP.")],
    config: ConfigOption = None,
    settings: SetOption = None,
    inputs: InputOption = None,
    state: StateOption = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="End in order after so long.")] = None,
    serve: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Serve alerts, live view and page there, too.")
    ] = None,
    next_free_port: Annotated[
        bool,
        typer.Option("--next-free-port", help="With --serve: where the port is taken, the next free one."),
    ] = False,
    loopback_without_token: Annotated[
        bool, typer.Option("--loopback-without-token", help="With --serve: this machine needs no token.")
    ] = False,
    record: Annotated[
        Path | None,
        typer.Option("--record", metavar="FILE", help="Record the run as FILE (MCAP); see `edgeai replay`."),
    ] = None,
    record_mb: Annotated[
        float | None, typer.Option("--record-mb", min=5, help="With --record: how large the file may become.")
    ] = None,
    evidence_s: Annotated[
        float,
        typer.Option(
            "--evidence-s",
            min=0,
            max=600,
            help="Seconds kept before each critical alert as its evidence; 0: none.",
        ),
    ] = 60.0,
    device: Annotated[str, typer.Option(help="The device's name in alerts. Else the host's name.")] = "",
    log_json: Annotated[bool, typer.Option("--log-json", help="Log JSON objects.")] = False,
) -> None:
    """Run apps: a process per loop, restarted when it dies, until all inputs end or Ctrl-C.

    The sensors are those of the configuration; --input plays a recording instead, at real speed.
    """
    from edgeai_core.process.child import check_free
    from edgeai_core.process.run import Plan, PlannedChild

    chosen = choose(apps, config, settings, inputs)
    folder = find_state(state).create()
    _check_journal(folder)
    for each in chosen:  # before this run's configuration takes the place of another's
        for spec in each.loops:
            check_free(each.app.name, spec.name, folder)
    device = device or socket.gethostname()
    recorder = _recorder(folder, record, record_mb, evidence_s, log_json)
    children = [
        child
        for each in chosen
        for child in _children(each, folder, device, log_json, recorded=bool(recorder))
    ]
    children += recorder
    if serve is not None:
        parse_address(serve)
        arguments = serve_arguments(
            folder,
            serve,
            [each.app.name for each in chosen],
            [child.name for child in children if not child.service],
            config=config,
            device=device,
            next_free_port=next_free_port,
            loopback_without_token=loopback_without_token,
            log_json=log_json,
        )
        children.append(
            PlannedChild("serve", [sys.executable, "-m", "edgeai_core.cli.main", *arguments], service=True)
        )
    plan = Plan(str(folder.root), children, seconds, device, log_json)
    # This process has imported every app to check it; the supervisor needs none of that.
    os.execv(sys.executable, [sys.executable, "-m", "edgeai_core.process.run", plan.to_json()])  # noqa: S606


def stall_after_s(spec: LoopSpec[object]) -> float:
    """Return how long a loop may go without a cycle or an idle wake-up before it counts as hung."""
    period_s = 1 / spec.trigger.rate_hz if isinstance(spec.trigger, Every) else spec.trigger.idle_s
    return max(5.0, 5 * period_s, 2 * spec.deadline_s)


def _recorder(
    state: State, file: Path | None, max_mb: float | None, evidence_s: float, log_json: bool
) -> list[PlannedChild]:
    """Return the process that records, where anything is to be recorded. Raises ConfigError."""
    from edgeai_core.process.run import PlannedChild

    if file is not None:
        file = file.absolute()
        if file.suffix != ".mcap":
            raise ConfigError(
                f"--record {file}: a recording is an MCAP file; call it {file.with_suffix('.mcap').name}"
            )
        if file.exists():
            raise ConfigError(f"--record {file}: is there already; remove it, or name another")
        if not file.parent.is_dir() or not os.access(file.parent, os.W_OK):
            raise ConfigError(f"--record {file}: {file.parent} is no folder that can be written to")
    elif max_mb is not None:
        raise ConfigError("--record-mb: nothing is recorded; it belongs to --record")
    if file is None and not evidence_s:
        return []
    arguments = ["--state", str(state.root), "--evidence-s", str(evidence_s)]
    arguments += ["--file", str(file)] if file is not None else []
    arguments += ["--max-mb", str(max_mb)] if max_mb is not None else []
    arguments += ["--log-json"] if log_json else []
    argv = [sys.executable, "-m", "edgeai_core.process.recorder", *arguments]
    return [PlannedChild("recorder", argv, service=True)]


def _children(
    chosen: Chosen, state: State, device: str, log_json: bool, *, recorded: bool
) -> list[PlannedChild]:
    from edgeai_core.process.run import PlannedChild

    app = chosen.app.name
    config = state.run / f"{app}.config.json"
    _write_private(config, chosen.config.model_dump_json())
    arguments = ["--state", str(state.root), "--config", str(config), "--device", device]
    if log_json:
        arguments.append("--log-json")
    if recorded:
        arguments.append("--record")
    return [
        PlannedChild(
            f"{app}.{spec.name}",
            [
                sys.executable,
                "-m",
                "edgeai_core.process.child",
                app,
                spec.name,
                *arguments,
                *_play(chosen, spec),
            ],
            stall_after_s=stall_after_s(spec),
            after=[f"{app}.{name}" for name in spec.after],
        )
        for spec in chosen.loops
    ]


def _play(chosen: Chosen, spec: LoopSpec[object]) -> list[str]:
    file = chosen.recorded.get(spec.name)
    return [] if file is None else ["--play", str(file)]


def _check_journal(state: State) -> None:
    """Raise JournalError where no loop could ever open the journal; a full disk or a busy file passes."""
    from edgeai_core.alerts.database import JournalBusyError, JournalFullError
    from edgeai_core.alerts.journal import Journal

    with suppress(JournalFullError, JournalBusyError):
        Journal(state.journal).close()


def _write_private(path: Path, text: str) -> None:
    fresh = path.with_suffix(f".{os.getpid()}.new")
    try:
        with open(
            os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(text)
        fresh.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
