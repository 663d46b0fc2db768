"""``edgeai model rollback TASK``: back to the model that was in use before."""

from __future__ import annotations

from typing import Annotated

import typer

from edgeai_core.cli.options import StateOption
from edgeai_core.state import find_state


def rollback(
    task: Annotated[str, typer.Argument(help="The task, as APP.TASK.")],
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="VERSION", help="This version, or `shipped`. Else the one before the current."
        ),
    ] = None,
    state: StateOption = None,
) -> None:
    """Make an earlier model of a task current: what was learnt on this device, or what the app ships.

    Nothing is removed; the version that was current can be named with --to. Loops use it from their next start.
    """
    from edgeai_core.runners.store import rollback as go_back
    from edgeai_core.runners.store import versions

    folder = find_state(state)
    name = go_back(folder, task, to)
    kept = ", ".join(version.name for version in versions(folder, task))
    typer.echo(f"{task}: {name} is current" + (f" (on this device: {kept})" if kept else ""))
