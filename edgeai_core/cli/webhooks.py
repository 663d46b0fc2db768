"""``edgeai webhook``: who gets the alerts pushed; `edgeai serve` and `run --serve` send them."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from edgeai_core.cli.options import JsonOption, StateOption, printable
from edgeai_core.errors import EdgeAIError
from edgeai_core.state import State, find_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeai_core.alerts.journal import Journal

app = typer.Typer(
    no_args_is_help=True,
    help="Receivers of webhooks: CloudEvents under a Standard Webhooks signature, in order, none lost.",
)

NameArgument = Annotated[str, typer.Argument(help="The receiver's name.")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What you call it: pager, ward-log.")],
    url: Annotated[str, typer.Argument(help="https://host/path; http only to this machine.")],
    priority: Annotated[
        list[str] | None, typer.Option(help="Only of this priority: high, medium, low. Repeatable.")
    ] = None,
    app_name: Annotated[list[str] | None, typer.Option("--app", help="Only of this app. Repeatable.")] = None,
    kind: Annotated[
        list[str] | None, typer.Option(help="Only these events: raised, escalated, cleared, ... Repeatable.")
    ] = None,
    role: Annotated[
        list[str] | None, typer.Option(help="Only what was escalated to this role. Repeatable.")
    ] = None,
    allow_plain_http: Annotated[
        bool, typer.Option("--allow-plain-http", help="Alerts may cross the network in the clear.")
    ] = False,
    state: StateOption = None,
) -> None:
    """Add a receiver and print its secret: it cannot be shown again. It gets every event from now on."""
    from edgeai_core.alerts import outbox
    from edgeai_core.alerts.receivers import add_receiver

    folder = find_state(state).create()
    journal = _journal(folder)
    try:
        receiver = add_receiver(
            folder.webhooks,
            name,
            url,
            priorities=priority or (),
            apps=app_name or (),
            kinds=kind or (),
            roles=role or (),
            allow_plain_http=allow_plain_http,
        )
        outbox.enter(journal, name, from_now=True)
    finally:
        journal.close()
    typer.echo(receiver.secrets[0])


@app.command("list")
def list_(state: StateOption = None, as_json: JsonOption = False) -> None:
    """List the receivers and how they do; none of their secrets."""
    from edgeai_core.alerts import outbox
    from edgeai_core.alerts.receivers import read_receivers

    folder = find_state(state)
    receivers = read_receivers(folder.webhooks)
    rows: list[dict[str, object]] = []
    if receivers:
        journal = _journal(folder)
        for receiver in receivers:
            found = outbox.standing(journal, receiver.name)
            rows.append(receiver.to_json() | (vars(found) if found else {}))
        journal.close()
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        typer.echo(printable(_line(row)))
    if not rows:
        typer.echo("there is no webhook; `edgeai webhook add NAME URL` adds one", err=True)


@app.command()
def remove(name: NameArgument, state: StateOption = None) -> None:
    """Remove a receiver with its dead letters; retention no longer waits for it."""
    from edgeai_core.alerts import outbox
    from edgeai_core.alerts.receivers import remove_receiver

    folder = find_state(state)
    remove_receiver(folder.webhooks, name)
    journal = _journal(folder)
    outbox.leave(journal, name)
    journal.close()
    typer.echo(f"removed {name}")


@app.command()
def rotate(name: NameArgument, state: StateOption = None) -> None:
    """Print a new secret. The one before signs beside it until the next change."""
    from edgeai_core.alerts.receivers import rotate_secret

    typer.echo(rotate_secret(find_state(state).webhooks, name))


@app.command("test")
def try_(name: NameArgument, state: StateOption = None) -> None:
    """Send a signed `edgeai.ping` now and say what came back."""
    import asyncio
    import uuid
    from datetime import UTC, datetime

    from edgeai_core.alerts.receivers import find_receiver
    from edgeai_core.alerts.webhook import ping
    from edgeai_core.http.deliverer import Outcome, http_client, post

    receiver = find_receiver(find_state(state).webhooks, name)
    what = ping(socket.gethostname(), uuid.uuid4().hex, receiver.secrets, datetime.now(UTC))

    async def send() -> tuple[Outcome, str]:
        async with http_client() as client:
            answer = await post(client, receiver.url, what)
        return answer.outcome, answer.reason

    outcome, reason = asyncio.run(send())
    if outcome is not Outcome.TAKEN:
        raise EdgeAIError(f"webhook {name}: {reason}")
    typer.echo(f"{name} took it")


@app.command()
def dead(name: NameArgument, state: StateOption = None, as_json: JsonOption = False) -> None:
    """List what a receiver refused for good, oldest first."""
    from edgeai_core.alerts import outbox

    folder = _known(state, name)
    journal = _journal(folder)
    letters = outbox.dead_letters(journal, name, limit=1000)
    journal.close()
    if as_json:
        typer.echo(json.dumps([each.to_json() for each in letters], indent=2))
        return
    for each in letters:
        alert, again = each.event.alert, "  to be sent again" if each.again else ""
        typer.echo(
            printable(
                f"{each.event.sequence}  {each.event.kind:<12}  {alert.code}  {alert.subject}  {each.at}"
                f"  {each.reason}{again}"
            )
        )
    if not letters:
        typer.echo("no dead letter", err=True)


@app.command()
def retry(
    name: NameArgument,
    sequence: Annotated[int | None, typer.Argument(help="The event's sequence; none: all of them.")] = None,
    state: StateOption = None,
) -> None:
    """Let dead letters be sent once more, before what waits."""
    from edgeai_core.alerts import outbox

    _each_dead(state, name, sequence, outbox.send_again)


@app.command()
def discard(
    name: NameArgument,
    sequence: Annotated[int, typer.Argument(help="The event's sequence.")],
    state: StateOption = None,
) -> None:
    """Delete a dead letter: the receiver never gets it."""
    from edgeai_core.alerts import outbox

    _each_dead(state, name, sequence, outbox.discard)


def _each_dead(
    state: StateOption, name: str, sequence: int | None, do: Callable[[Journal, str, int], None]
) -> None:
    from edgeai_core.alerts import outbox

    folder = _known(state, name)
    journal = _journal(folder)
    try:
        letters = outbox.dead_letters(journal, name, limit=1000)
        chosen = [each.event.sequence for each in letters] if sequence is None else [sequence]
        for each in chosen:
            do(journal, name, each)
    finally:
        journal.close()
    typer.echo(f"{len(chosen)} of {name}")


def _known(state: StateOption, name: str) -> State:
    from edgeai_core.alerts.receivers import find_receiver

    folder = find_state(state)
    find_receiver(folder.webhooks, name)
    return folder


def _journal(folder: State) -> Journal:
    from edgeai_core.alerts.journal import Journal

    return Journal(folder.create().journal, device=socket.gethostname())


def _line(row: dict[str, object]) -> str:
    filters = " ".join(
        f"{key}={','.join(map(str, value))}"
        for key, value in row.items()
        if key in ("priorities", "apps", "kinds", "roles") and isinstance(value, list) and value
    )
    if row.get("failing_since"):
        how = f"failing since {row['failing_since']}: {row['failure']}"
    else:
        how = f"well, last {row['delivered_at']}" if row.get("delivered_at") else "nothing sent yet"
    return (
        f"{row['name']}  {row['host']}  waiting {row.get('waiting', 'all')}  dead {row.get('dead', 0)}  {how}"
        + (f"  ({filters})" if filters else "")
    )
