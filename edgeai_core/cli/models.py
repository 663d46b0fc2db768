"""``edgeai model``: the models that apps name, and fetching those that do not ship with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeai_core.app import app_names, load_app
from edgeai_core.cli import model_distil, model_quantize, model_search
from edgeai_core.cli.options import JsonOption, StateOption
from edgeai_core.cli.tasks import progress_bars
from edgeai_core.errors import ConfigError, EdgeAIError
from edgeai_core.state import find_state

if TYPE_CHECKING:
    from edgeai_core.runners.card import ModelCard

app = typer.Typer(no_args_is_help=True, help="Models that the apps name, and where they are.")
app.command("quantize")(model_quantize.quantize)
app.command("distil")(model_distil.distil)
app.command("search")(model_search.search)


@app.command("list")
def list_(state: StateOption = None, as_json: JsonOption = False) -> None:
    """List the models of the installed apps, and whether each is here."""
    from edgeai_core.runners.fetch import fetched_path

    rows = []
    for path, card in _cards():
        places = (path.with_name(card.file), fetched_path(find_state(state).models, card))
        at = next((place for place in places if place.is_file()), None)
        rows.append(
            {"name": card.name, "version": card.version, "task": card.task, "licence": card.licence,
             "path": None if at is None else str(at), "source": card.source or None}
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        here = row["path"] or f"not here; `edgeai model fetch {row['name']}` gets it"
        typer.echo(f"{row['name']} {row['version']}  {row['task']}  {here}")
    if not rows:
        typer.echo("no installed app names a model")


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="Its name, as `edgeai model list` shows it.")],
    address: Annotated[
        str | None, typer.Option("--from", metavar="URL", help="Another place that has the very same file.")
    ] = None,
    state: StateOption = None,
) -> None:
    """Fetch a model from its official release: only the file with the digest in its card is kept."""
    from edgeai_core.runners.fetch import fetch as fetch_model

    card = _named(name)
    with progress_bars() as progress:
        path = fetch_model(card, find_state(state).create().models, progress, address)
    typer.echo(path)


def _named(name: str) -> ModelCard:
    fetchable = {card.name: card for _, card in _cards() if card.source}
    if name not in fetchable:
        known = ", ".join(sorted(fetchable)) or "none"
        raise ConfigError(f"no installed app names a model {name!r} that can be fetched (there are: {known})")
    return fetchable[name]


def _cards() -> list[tuple[Path, ModelCard]]:
    from edgeai_core.runners.card import read_card

    found = []
    for app_name in app_names():
        try:
            paths = load_app(app_name).models
        except EdgeAIError:
            continue  # `edgeai apps` says why
        found += [(path, read_card(path)) for path in paths]
    return found
