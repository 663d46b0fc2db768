"""``edgeai alerts``: look at the journal of this device and acknowledge."""

from __future__ import annotations

import getpass
import json
import socket
import time
from typing import TYPE_CHECKING, Annotated

import typer

from edgeai_core.cli.options import JsonOption, StateOption, printable
from edgeai_core.errors import EdgeAIError, InputError
from edgeai_core.state import State, find_state

if TYPE_CHECKING:
    from edgeai_core.alerts.alert import Alert, AlertEvent
    from edgeai_core.alerts.journal import Journal

app = typer.Typer(no_args_is_help=True, help="The alerts of this device, straight from its journal.")

_LOOK_EVERY_S = 0.5


@app.command("list")
def list_(
    state: StateOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    app_name: Annotated[str | None, typer.Option("--app", help="Of one app.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, the newest.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """List alerts, the newest first; those that are open unless --all."""
    journal = _journal(find_state(state))
    if journal is None:
        alerts = []
    else:
        states = None if everything else ("raised", "acknowledged", "latched")
        alerts = [alert for _, alert in journal.alerts(state=states, app=app_name, limit=limit)]
        journal.close()
    if as_json:
        typer.echo(json.dumps([alert.to_json() for alert in alerts], indent=2))
        return
    for alert in alerts:
        typer.echo(printable(_line(alert)))
    if not alerts:
        typer.echo("no alert" if everything else "no open alert (--all shows those that are over)", err=True)


@app.command()
def ack(
    id: Annotated[str, typer.Argument(help="The alert's id, or enough of its beginning.")],
    by: Annotated[str, typer.Option(help="Who acknowledges. Else the user of this session.")] = "",
    state: StateOption = None,
) -> None:
    """Acknowledge an alert: a person knows."""
    from edgeai_core.alerts.journal import Journal
    from edgeai_core.topics.live import JOURNAL_TOPIC, LivePublisher

    folder = find_state(state)
    if not folder.journal.exists():
        raise InputError(f"no alert {id!r}: {folder.journal} does not exist")
    journal = Journal(folder.journal, device=socket.gethostname())
    try:
        event = journal.acknowledge(_whole_id(journal, id), by or getpass.getuser())
    finally:
        journal.close()
    publisher = LivePublisher(folder.run)
    publisher.publish(JOURNAL_TOPIC, event.sequence, time.monotonic_ns())
    publisher.close()
    typer.echo(printable(_line(event.alert)))


@app.command()
def tail(
    state: StateOption = None,
    since: Annotated[int | None, typer.Option(help="Begin after this event's sequence.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print every change of every alert as it comes, until Ctrl-C."""
    folder = find_state(state).create()
    journal = _journal(folder)
    while journal is None:
        time.sleep(_LOOK_EVERY_S)
        journal = _journal(folder)
        since = since or 0
    sequence = journal.last_sequence() if since is None else since
    while True:
        for event in journal.events_after(sequence):
            sequence = event.sequence
            typer.echo(json.dumps(event.to_json()) if as_json else printable(_event_line(event)))
        time.sleep(_LOOK_EVERY_S)


def _journal(state: State) -> Journal | None:
    from edgeai_core.alerts.journal import Journal

    if not state.journal.exists():
        return None
    return Journal(state.journal, device=socket.gethostname(), read_only=True)


def _whole_id(journal: Journal, start: str) -> str:
    ids = [alert.id for _, alert in journal.alerts(limit=1000) if alert.id.startswith(start)]
    if start in ids or not ids:
        return start
    if len(ids) > 1:
        raise EdgeAIError(f"{start!r} begins the ids of {len(ids)} alerts; write more of it")
    return ids[0]


def _line(alert: Alert) -> str:
    who = f"  acknowledged by {alert.acknowledged_by}" if alert.acknowledged_by else ""
    title = f"  {alert.title}" if alert.title else ""
    return (
        f"{alert.raised_at}  {alert.priority.value:<6}  {alert.state.value:<12}  {alert.code}  "
        f"{alert.subject}{title}  {alert.app}.{alert.loop}  {alert.id}{who}"
    )


def _event_line(event: AlertEvent) -> str:
    alert = event.alert
    return (
        f"{event.at}  {event.kind:<12}  {alert.priority.value:<6}  {alert.code}  {alert.subject}  "
        f"{alert.title}  by {event.by}  {alert.id}"
    )
