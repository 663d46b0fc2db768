"""``edgeai model datasheet``: what every model costs on every engine of this machine, as a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeai_core.app import app_names
from edgeai_core.cli.model_files import Found, ThreadsOption, models_of
from edgeai_core.cli.options import StateOption
from edgeai_core.cli.tasks import progress_bars
from edgeai_core.errors import EdgeAIError
from edgeai_core.state import State, find_state

if TYPE_CHECKING:
    from edgeai_core.optimize.datasheet import Sheet


def datasheet(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL|APP]...", help="Which models. Without: those of every installed app."),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "--out", metavar="DIR", help="Where datasheet.md, .html and .svg are written."
        ),
    ] = Path(),
    threads: ThreadsOption = 1,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.1, max=600, help="How long, for each engine.")
    ] = 2.0,
    state: StateOption = None,
) -> None:
    """Write a datasheet of this machine, in Markdown and HTML, with a picture.

    For each model and engine: time, throughput, memory, load time, size, and energy where the machine shows it;
    beside them what was published of boards, and the digests of models and machine.
    """
    from edgeai_core.optimize.datasheet import CHART, chart, markdown, page
    from edgeai_core.runners.card import write_whole

    where = find_state(state)
    names = models or app_names()
    total = sum(1 for name in names for _ in models_of(name, where))
    sheets: list[Sheet] = []
    with progress_bars() as progress:
        # A file without a card has a bare one for as long as its turn lasts.
        for found in (each for name in names for each in models_of(name, where)):
            progress("measuring models", len(sheets), total)
            sheets.append(_sheet(found, threads, seconds, where))
        progress("measuring models", total, total)
    command = " ".join(["edgeai model datasheet", *(models or [])])
    write_whole(output / "datasheet.md", markdown(sheets, command).encode())
    write_whole(output / "datasheet.html", page(sheets, command).encode())
    write_whole(output / CHART, chart(sheets).encode())
    for name in ("datasheet.md", "datasheet.html", CHART):
        typer.echo(output / name)


def _sheet(found: Found, threads: int, seconds: float, state: State) -> Sheet:
    from edgeai_core.optimize.datasheet import Sheet
    from edgeai_core.optimize.measure import measure_apart
    from edgeai_core.runners.auto import cache_folder, recall
    from edgeai_core.runners.model_file import read_model_file
    from edgeai_core.runners.open import backends_for

    rows, refused = [], {}
    for backend in backends_for(found.path):
        try:
            rows.append(
                measure_apart(found.path, found.card_path, backend=backend, threads=threads, seconds=seconds)
            )
        except EdgeAIError as error:
            refused[backend] = str(error).removeprefix(f"{found.path}: ")
    answer = recall(read_model_file(found.path, found.card_path), threads, cache_folder(state.cache))
    chosen = "" if answer is None else str(answer.choice)
    return Sheet(found.card, tuple(rows), refused, chosen)
