"""``edgeai apps``: what is installed."""

from __future__ import annotations

import json
from typing import Any

import typer

from edgeai_core.app import App, app_names, load_app
from edgeai_core.cli.options import JsonOption
from edgeai_core.errors import ConfigError, EdgeAIError


def apps(as_json: JsonOption = False) -> None:
    """List the installed apps with their loops and tasks."""
    entries = [_describe(name) for name in app_names()]
    if as_json:
        typer.echo(json.dumps(entries, indent=2))
        return
    if not entries:
        typer.echo("no app is installed; `edgeai new NAME` starts one")
    for entry in entries:
        typer.echo(f"{entry['name']}: {entry.get('summary') or entry.get('error')}")
        for kind in ("loops", "tasks"):
            for name in entry.get(kind, []):
                typer.echo(f"  {kind[:-1]} {entry['name']}.{name}")
    if any("error" in entry for entry in entries):
        raise ConfigError("not every app can be used; see above")


def _describe(name: str) -> dict[str, Any]:
    try:
        app = load_app(name)
    except EdgeAIError as error:
        return {"name": name, "error": str(error)}
    return {
        "name": name,
        "summary": app.summary,
        "loops": _loops(app),
        "tasks": [task.name for task in app.tasks],
        "panels": [panel.name for panel in app.panels],
    }


def _loops(app: App) -> list[str]:
    return [spec.name for spec in app.loops(app.config())]
