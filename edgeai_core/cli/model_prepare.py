"""``edgeai model prepare``: which engine is fastest for a model on this machine, and what that engine compiles."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from edgeai_core.cli.model_files import ThreadsOption, models_of
from edgeai_core.cli.options import JsonOption, StateOption
from edgeai_core.cli.tasks import progress_bars
from edgeai_core.state import find_state


def prepare(
    model: Annotated[
        str, typer.Argument(metavar="MODEL|APP", help="A model's name or file, or an app: all of its models.")
    ],
    threads: ThreadsOption = 1,
    again: Annotated[bool, typer.Option("--again", help="Measure anew what was measured before.")] = False,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the engines of this machine on a model, and let loops use the fastest.

    Until a model is prepared, loops run it on ONNX Runtime. The answer is kept in the state folder for this
    model, machine, engine versions and number of threads; EDGEAI_BACKEND=onnx makes loops ignore it.
    """
    from edgeai_core.runners.auto import cache_folder, compile_for, find_fastest, recall
    from edgeai_core.runners.model_file import read_model_file

    cache = find_state(state).create().cache
    rows = []
    for found in models_of(model, find_state(state)):
        file = read_model_file(found.path, found.card_path)
        answer = None if again else recall(file, threads, cache_folder(cache))
        if answer is None:
            with progress_bars() as progress:
                answer = find_fastest(found.path, found.card_path, threads, cache, progress)
        compile_for(answer, found.path, found.card_path, threads, cache)
        rows.append(
            {"model": found.card.name, "version": found.card.version, "threads": threads} | answer.to_json()
        )
        if not as_json:
            typer.echo(f"{found.card.name} {found.card.version}: {answer.choice}")
            for trial in answer.trials:
                told = trial.refused or f"{trial.p50_ms:.3f} ms, {trial.ratio:.2f} of the default's time"
                typer.echo(f"  {trial.candidate}: {told}")
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif not rows:
        typer.echo(f"{model} has no model here that an engine runs")
