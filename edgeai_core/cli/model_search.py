"""``edgeai model search``: width and resolution of a network for pictures, under a latency target on a device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from edgeai_core.cli.options import JsonOption
from edgeai_core.cli.tasks import progress_bars
from edgeai_core.errors import ConfigError


def search(
    data: Annotated[
        Path,
        typer.Option(
            help="Labelled pictures: a folder with labels.csv, a folder for each class, or an .npz (inputs, labels).",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "--output",
            help="Folder for the best model, its card and the picture.",
            show_default=False,
        ),
    ],
    target_ms: Annotated[float, typer.Option(help="The most one inference may take on the device.")] = 50.0,
    width: Annotated[
        list[float] | None, typer.Option(help="Repeatable. Default: 1, 0.75, 0.5, 0.35.")
    ] = None,
    resolution: Annotated[
        list[int] | None, typer.Option(help="Repeatable. Default: 224, 192, 160, 128.")
    ] = None,
    target: Annotated[
        str,
        typer.Option(
            help="The device: this (machine), or a board: jetson-nano, xavier-nx, agx-orin, coral, raspberry-pi-4.",
            metavar="BOARD",
        ),
    ] = "this",
    factor: Annotated[
        float | None,
        typer.Option(help="Instead of a board: how many times this machine's time the device takes."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Candidates to teach. Default: a third of all.")
    ] = None,
    grey: Annotated[bool, typer.Option(help="Read pictures in grey.")] = False,
    epochs: Annotated[int, typer.Option(min=1, max=1000, help="Of each teaching, at most.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of splits, weights and drawing.")] = 0,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Processor cores to teach with.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Find the most accurate MobileNetV2 that meets a latency target on a device, and export it.

    Latency is measured here for each width and resolution; for a board it is scaled by what was published of
    MobileNetV2 there, an estimate. What misses the target is never taught. The Pareto front is drawn as an SVG.
    """
    from edgeai_core.learning.training import torch_or_explain

    torch_or_explain()
    from edgeai_core.learning.classify import Recipe
    from edgeai_core.optimize.examples import read_examples
    from edgeai_core.optimize.front import draw_front
    from edgeai_core.optimize.placement import published_ms
    from edgeai_core.optimize.profiles import profile
    from edgeai_core.optimize.search import RESOLUTIONS, WIDTHS, export_best
    from edgeai_core.optimize.search import search as look

    if target_ms <= 0 or (factor is not None and factor <= 0):
        raise ConfigError("--factor and --target-ms must be above 0")
    board, reference_ms, device = profile(target), None, "this machine"
    if target != "this":
        if factor is not None:
            raise ConfigError("--target and --factor both say how fast the device is; name one")
        reference_ms, figure = published_ms(board, "MobileNetV2")
        device = f"{board.title}, by {figure}: an estimate"
    elif factor is not None:
        device = f"a device that takes {factor:g} times this machine's time"
    widths, sides = tuple(width or WIDTHS), tuple(resolution or RESOLUTIONS)
    if any(not 0.1 <= each <= 4 for each in widths) or any(not 16 <= each <= 1024 for each in sides):
        raise ConfigError("widths lie between 0.1 and 4, resolutions between 16 and 1024 pixels")
    examples = read_examples(data, max(sides), 1 if grey else 3)
    with progress_bars() as progress:
        found = look(
            examples, widths=widths, resolutions=sides, target_ms=target_ms, trials=trials, factor=factor or 1.0,
            reference_ms=reference_ms, recipe=Recipe(epochs=epochs, seed=seed, threads=threads), seed=seed,
            progress=progress,
        )  # fmt: skip
    path = export_best(found, examples, out)
    picture = out / "search.svg"
    picture.write_text(draw_front(found.trials, found.best, found.target_ms), encoding="utf-8")
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "model": str(path),
                    "picture": str(picture),
                    "best": found.best.to_json(),
                    "target_ms": target_ms,
                    "device": device,
                    "front": [each.to_json() for each in found.front],
                    "trials": [each.to_json() for each in found.trials],
                },
                indent=2,
            )
        )
        return
    typer.echo(f"times are of {device}")
    for trial in sorted(found.trials, key=lambda each: each.latency_ms):
        accuracy = "not taught" if trial.accuracy is None else f"{100 * trial.accuracy:.1f} %"
        notes = [" given up early"] if trial.pruned else []
        notes += [" over the target"] if trial.latency_ms > target_ms else []
        notes += [" on the front"] if trial in found.front else []
        typer.echo(f"{trial.candidate!s:24} {trial.latency_ms:8.2f} ms  {accuracy:>10}{','.join(notes)}")
    typer.echo(f"best under {target_ms:g} ms: {found.best.candidate}: {path}\npicture: {picture}")
