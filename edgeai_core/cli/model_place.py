"""``edgeai model place``: which board and tier can hold a model's deadline."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from edgeai_core.cli.model_files import ModelArgument, ThreadsOption, find_model
from edgeai_core.cli.options import JsonOption, StateOption
from edgeai_core.cli.tasks import progress_bars
from edgeai_core.state import find_state


def place(
    model: ModelArgument,
    deadline_ms: Annotated[
        float, typer.Option("--deadline-ms", min=0.001, max=1e6, help="How long one call may take.")
    ],
    threads: ThreadsOption = 1,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge which boards can run a model within a deadline.

    The model is timed here beside networks whose speed on boards was published, and scaled by their ratio. That is
    an estimate, and its uncertainty is in the verdict: yes, perhaps, no. Only a measurement on the board is proof.
    """
    from edgeai_core.optimize.placement import place as place_model
    from edgeai_core.optimize.profiles import TIERS

    where = find_state(state).create()
    with find_model(model, where) as found, progress_bars() as progress:
        placed = place_model(
            found.path,
            found.card_path,
            deadline_ms,
            where.cache / "references",
            threads=threads,
            report=progress,
        )
    if as_json:
        typer.echo(
            json.dumps({"model": found.card.name, "deadline_ms": deadline_ms} | asdict(placed), indent=2)
        )
        return
    typer.echo(
        f"{found.card.name} {found.card.version}, deadline {deadline_ms:g} ms; here {placed.here_ms:.3f} ms"
    )
    typer.echo(f"  {placed.engine}")
    for board in placed.boards:
        low, high = board.low_ms, board.high_ms
        if high is None:
            told = "-"
        elif low is None:
            told = f"up to {high:.3g} ms"
        else:
            told = f"{low:.3g} ms" if low == high else f"{low:.3g} to {high:.3g} ms"
        typer.echo(f"  {board.verdict:8} {board.title} ({board.tier}): {told}; {board.reason}")
    spans = ", ".join(f"{name} {low:g} to {high:g} ms" for name, (low, high) in TIERS.items())
    typer.echo(f"  tiers: {spans}")
