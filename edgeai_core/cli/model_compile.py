"""``edgeai model compile``: what a board runs, made of a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from edgeai_core.cli.model_files import ModelArgument, find_model
from edgeai_core.cli.options import JsonOption, StateOption
from edgeai_core.cli.tasks import progress_bars
from edgeai_core.state import find_state


def compile_(
    model: ModelArgument,
    target: Annotated[
        str,
        typer.Option(
            "--target",
            help="jetson-nano, xavier-nx, agx-orin, coral, nuc, raspberry-pi-4, or this (machine).",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "--out", metavar="DIR", help="Where to write. Without: MODEL-TARGET here."),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration",
            metavar="FILE.npz",
            help="The model's inputs as it meets them at work, 8 samples or more, for int8.",
        ),
    ] = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make what a board runs of an ONNX model, in the precision and form of the board's profile.

    Each file gets a card and is held against the source's answers. The vendor's compiler runs where it is
    installed; where it is not, you are told what is missing and where it is to be had.
    """
    from edgeai_core.optimize.compile import compile_model, read_samples
    from edgeai_core.optimize.profiles import profile

    board = profile(target)
    with find_model(model, find_state(state)) as found, progress_bars() as progress:
        samples = read_samples(calibration, found.card) if calibration is not None else []
        folder = output or Path(f"{found.path.stem}-{target}")
        done = compile_model(found.path, found.card_path, board, folder, samples, progress)
    if as_json:
        typer.echo(json.dumps(done.to_json(), indent=2))
        return
    memory = f"{board.limit_mib} MiB for a model"
    typer.echo(f"{board.title}: {board.precision}, batch {board.batch}, {memory}, {', '.join(board.flags)}")
    typer.echo(f"  settings: {board.settings_from}")
    for step in done.steps:
        proof = (
            ""
            if step.difference is None
            else f", within {step.difference:.2g} of its source's largest output"
        )
        typer.echo(f"  {done.folder / step.file}: {step.what}{proof}")
    for missing in done.missing:
        typer.echo(f"  missing: {missing}")
    if done.run_there:
        typer.echo(f"  on the board: {done.run_there}")
