"""``edgeai model``: the models that apps name, and fetching those that do not ship with them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from edgeai_core.cli import (
    model_compile,
    model_datasheet,
    model_distil,
    model_measure,
    model_place,
    model_prepare,
    model_quantize,
    model_search,
)
from edgeai_core.cli.model_files import named_cards
from edgeai_core.cli.options import JsonOption, StateOption
from edgeai_core.cli.tasks import progress_bars
from edgeai_core.errors import ConfigError
from edgeai_core.state import find_state

if TYPE_CHECKING:
    from edgeai_core.runners.card import ModelCard

app = typer.Typer(
    no_args_is_help=True,
    help="Models: which there are, what they cost here, and how they become smaller and faster. "
    "MODEL is a name that `edgeai model list` shows, or a file.",
    epilog="Begin with: edgeai model list; edgeai model measure imaging-gate; edgeai model COMMAND --help.",
)


@app.command("list")
def list_(state: StateOption = None, as_json: JsonOption = False) -> None:
    """List the models of the installed apps, and whether each is here."""
    from edgeai_core.runners.fetch import fetched_path

    rows = []
    for path, card in named_cards():
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
    fetchable = {card.name: card for _, card in named_cards() if card.source}
    if name not in fetchable:
        known = ", ".join(sorted(fetchable)) or "none"
        raise ConfigError(f"no installed app names a model {name!r} that can be fetched (there are: {known})")
    return fetchable[name]


app.command()(model_prepare.prepare)
app.command()(model_measure.measure)
app.command()(model_place.place)
app.command("compile")(model_compile.compile_)
app.command()(model_datasheet.datasheet)
app.command()(model_quantize.quantize)
app.command()(model_distil.distil)
app.command()(model_search.search)
