"""``edgeai model distil``: a small network that learns from a large one, judged beside itself without a teacher."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeai_core.cli.model_files import ModelArgument, find_model
from edgeai_core.cli.options import JsonOption, StateOption
from edgeai_core.cli.tasks import progress_bars
from edgeai_core.state import find_state

if TYPE_CHECKING:
    from edgeai_core.metrics.evaluation import Figure


def distil(
    model: ModelArgument,
    data: Annotated[
        Path,
        typer.Option(
            help="Labelled examples: an .npz (inputs, labels; groups and judged if known), a folder with labels.csv, "
            "or a folder of pictures for each class (grey or colour from 0 to 1, as the teacher takes them).",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "--output", help="Folder for the student.", show_default=False)
    ],
    student: Annotated[str, typer.Option(help="mobilenet (pictures) or tiny1d (signals).")] = "mobilenet",
    width: Annotated[
        float, typer.Option(help="mobilenet: multiplier of its channels; tiny1d: its channels.")
    ] = 0.35,
    shrink: Annotated[int, typer.Option(min=1, help="Average so many pixels or samples into one first.")] = 1,
    temperature: Annotated[float, typer.Option(help="How soft the teacher's shares are made.")] = 3.0,
    alpha: Annotated[float, typer.Option(help="Weight of the labels; the rest is the teacher's.")] = 0.1,
    features: Annotated[
        float, typer.Option(help="Weight of features matched to the teacher's second output.")
    ] = 0.0,
    epochs: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Of split, weights and drawing.")] = 0,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Processor cores to use.")] = 1,
    alone: Annotated[bool, typer.Option(help="Also teach the same student without the teacher.")] = True,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Teach a small network by MODEL, a large one: loss = alpha * labels + (1 - alpha) * teacher, at a temperature.

    The student is judged on examples that neither it nor its stopping saw; so is the same network taught by labels
    alone, for a teacher that does not help is not worth its time.
    """
    from edgeai_core.learning.training import torch_or_explain

    torch_or_explain()
    from edgeai_core.learning.classify import Recipe
    from edgeai_core.learning.distillation import Distillation
    from edgeai_core.optimize.examples import read_examples
    from edgeai_core.optimize.student import Shape
    from edgeai_core.optimize.student import distil as teach
    from edgeai_core.runners.model_file import read_model_file

    shape, how = Shape(student, width, shrink), Distillation(temperature, alpha, features)
    recipe = Recipe(epochs=epochs, seed=seed, threads=threads, patience=5)
    with find_model(model, find_state(state)) as named:
        teacher = read_model_file(named.path, named.card_path)
        wanted = teacher.card.inputs[0].shape
        side = next((size for size in wanted[2:] if isinstance(size, int)), 224)
        channels = wanted[1] if len(wanted) > 1 and isinstance(wanted[1], int) else 3
        examples = read_examples(data, side, channels)
        with progress_bars() as progress:
            found = teach(
                teacher,
                examples,
                out,
                shape=shape,
                how=how,
                recipe=recipe,
                compare_alone=alone,
                progress=progress,
            )
    if as_json:
        typer.echo(json.dumps({**asdict(found), "path": str(found.path)}, indent=2))
        return
    typer.echo(
        f"student: {found.path} ({found.parameters:,} parameters, taught on {found.learned_from} examples)"
    )
    typer.echo(f"  accuracy                {_share(found.student)}")
    if found.alone is not None:
        typer.echo(f"  without the teacher     {_share(found.alone)}")
    typer.echo(f"  the teacher's           {_share(found.teacher)}")
    typer.echo(f"  agrees with the teacher {_share(found.agreement)}")
    typer.echo(f"  {found.time_ratio:.2f} of the teacher's time, {found.size_ratio:.2f} of its size")


def _share(figure: Figure) -> str:
    value, low, high = (100 * (each or 0.0) for each in (figure.value, figure.low, figure.high))
    return f"{value:.1f} % ({low:.1f} to {high:.1f}, n {figure.n})"
