"""``edgeai alerts``: look at the journal of this device, acknowledge, silence; how the alarm system does."""

from __future__ import annotations

import getpass
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from edgeai_core.cli.options import ConfigOption, JsonOption, StateOption, printable
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
    with _writing(state, id) as (journal, whole_id):
        event = journal.acknowledge(whole_id, by or getpass.getuser())
    _tell(state, event.sequence)
    typer.echo(printable(_line(event.alert)))


@app.command()
def silence(
    id: Annotated[str, typer.Argument(help="The alert's id, or enough of its beginning.")],
    for_s: Annotated[
        float, typer.Option("--for", metavar="SECONDS", help="For how long; 0 ends a silence.")
    ] = 120.0,
    by: Annotated[str, typer.Option(help="Who silences. Else the user of this session.")] = "",
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Let an unanswered alert call nobody for a while; it stays on the list."""
    from edgeai_core.alerts import lifecycle
    from edgeai_core.alerts.policy import load_policy
    from edgeai_core.alerts.walltime import iso_from_ns, now

    policy = load_policy(config)
    who = by or getpass.getuser()
    until = iso_from_ns(now().wall_ns + round(for_s * 1e9))

    def silenced(alert: Alert, at: str) -> Alert | None:
        policy.check_silence(alert.priority, for_s)
        return lifecycle.silence(alert, who, at, until)

    with _writing(state, id) as (journal, whole_id):
        if for_s == 0:
            event = journal.change(whole_id, "unsilenced", who, lifecycle.unsilence)
        else:
            event = journal.change(whole_id, "silenced", who, silenced)
    if event is None:
        raise EdgeAIError(
            f"alert {whole_id}: {'it is not silenced' if for_s == 0 else 'nobody is called for it'}"
        )
    _tell(state, event.sequence)
    typer.echo(printable(_line(event.alert)))


@app.command()
def statistics(
    days: Annotated[float, typer.Option(min=0.01, max=3660, help="Over the last so many days.")] = 30.0,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """How the alarm system does: rates, floods, standing and chattering alarms (ISA-18.2)."""
    from datetime import UTC, datetime, timedelta

    from edgeai_core.alerts.assessment import assess_journal

    journal = _journal(find_state(state))
    if journal is None:
        raise InputError(f"there is no journal at {find_state(state).journal}")
    until = datetime.now(UTC)
    found = assess_journal(journal, until - timedelta(days=days), until)
    journal.close()
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
        return
    shares = ", ".join(f"{count} {name}" for name, count in found.by_priority.items())
    typer.echo(f"raised        {found.raised} ({found.raised_per_day:.1f} a day): {shares}")
    answered = "" if found.acknowledge_median_s is None else f", median {found.acknowledge_median_s:.0f} s"
    typer.echo(
        f"acknowledged  {found.acknowledged}{answered}; {found.escalated} escalated, {found.silenced} silenced"
    )
    typer.echo(
        f"floods        at most {found.most_in_10_minutes} in 10 minutes, {found.flood_share:.1%} of the time"
    )
    for name, rows in (("frequent", found.frequent), ("chattering", found.chattering)):
        for key, count in rows:
            typer.echo(printable(f"{name:<12}  {count} x {key}"))
    for key, hours in found.standing:
        typer.echo(printable(f"standing      {hours:.0f} h {key}"))


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


@contextmanager
def _writing(state: StateOption, id: str) -> Iterator[tuple[Journal, str]]:
    """Open the journal to write, and find an alert's whole id."""
    from edgeai_core.alerts.journal import Journal

    folder = find_state(state)
    if not folder.journal.exists():
        raise InputError(f"no alert {id!r}: {folder.journal} does not exist")
    journal = Journal(folder.journal, device=socket.gethostname())
    try:
        yield journal, _whole_id(journal, id)
    finally:
        journal.close()


def _tell(state: StateOption, sequence: int) -> None:
    """Tell a server that the journal has something new."""
    from edgeai_core.topics.live import JOURNAL_TOPIC, LivePublisher

    publisher = LivePublisher(find_state(state).run)
    publisher.publish(JOURNAL_TOPIC, sequence, time.monotonic_ns())
    publisher.close()


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
    who += f"  silenced until {alert.silenced_until} by {alert.silenced_by}" if alert.silenced_until else ""
    who += f"  escalated to {alert.escalated_to}" if alert.escalated_to else ""
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
