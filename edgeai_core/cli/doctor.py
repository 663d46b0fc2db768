"""``edgeai doctor``: what this machine can do, what is missing, how to get it."""

from __future__ import annotations

import json

import typer

from edgeai_core.cli.options import JsonOption, StateOption
from edgeai_core.errors import EdgeAIError
from edgeai_core.state import find_state

_COLOURS = {"ok": "green", "note": "cyan", "warning": "yellow", "failed": "red"}


def doctor(state: StateOption = None, as_json: JsonOption = False) -> None:
    """Examine this machine: engines, cameras' libraries, state folder, clock, memory, real time. 1: something fails."""
    from edgeai_core.cli.machine import examine

    findings = examine(find_state(state))
    if as_json:
        typer.echo(json.dumps([finding.to_json() for finding in findings], indent=2))
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            status = typer.style(f"{finding.status:<8}", fg=_COLOURS[finding.status])
            typer.echo(f"{finding.name:<{width}}  {status} {finding.detail}")
            if finding.remedy:
                typer.echo(f"{'':<{width}}           {finding.remedy}")
    failed = [finding.name for finding in findings if finding.status == "failed"]
    if failed:
        raise EdgeAIError(f"this machine cannot run everything: {', '.join(failed)}")
