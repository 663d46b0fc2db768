"""``edgeai model measure``: what a model costs on the engines of this machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from edgeai_core.cli.model_files import ModelArgument, ThreadsOption, find_model
from edgeai_core.cli.options import JsonOption, StateOption
from edgeai_core.cli.tasks import progress_bars
from edgeai_core.errors import EdgeAIError, ModelError
from edgeai_core.state import find_state

if TYPE_CHECKING:
    from edgeai_core.optimize.measure import Measurement


def measure(
    model: ModelArgument,
    backend: Annotated[
        list[str] | None,
        typer.Option("--backend", help="An engine; repeatable. Without: all that are installed and run it."),
    ] = None,
    threads: ThreadsOption = 1,
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, max=600, help="How long, for each.")] = 3.0,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure time, memory and load time of a model, each engine in a process of its own.

    Inputs are those of the first golden vector; without any, noise, in which sizes that may vary are 1.
    Other work on the machine is in the figures.
    """
    from edgeai_core.optimize.measure import measure_apart
    from edgeai_core.runners.machine import this_machine
    from edgeai_core.runners.open import backends_for, check_backend

    rows: list[Measurement] = []
    refused: dict[str, str] = {}
    with find_model(model, find_state(state)) as found, progress_bars() as progress:
        names = [check_backend(name) for name in backend] if backend else backends_for(found.path)
        for number, name in enumerate(names):
            progress(f"measuring {found.card.name}", number, len(names))
            try:
                rows.append(
                    measure_apart(
                        found.path, found.card_path, backend=name, threads=threads, seconds=seconds,
                        cache=find_state(state).cache,
                    )
                )  # fmt: skip
            except EdgeAIError as error:
                if len(names) == 1:
                    raise
                refused[name] = str(error).removeprefix(f"{found.path}: ")
        progress(f"measuring {found.card.name}", len(names), len(names))
    if not rows:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise ModelError(f"{found.path}: no engine runs it: {reasons}")
    machine = this_machine()
    if as_json:
        value = {
            "model": found.card.name, "version": found.card.version, "digest": found.card.digest,
            "machine": str(machine), "rows": [row.to_json() for row in rows], "refused": refused,
        }  # fmt: skip
        typer.echo(json.dumps(value, indent=2))
        return
    size = max([found.path.stat().st_size, *(row.size_bytes for row in rows)])
    typer.echo(f"{found.card.name} {found.card.version}, {size / 1e6:.2f} MB; {machine}")
    for row in rows:
        memory = "" if row.memory_mib is None else f", {row.memory_mib:.0f} MiB"
        energy = "" if row.energy_j is None else f", {1e3 * row.energy_j:.3g} mJ a call"
        typer.echo(
            f"  {row.engine}: p50 {row.p50_ms:.3f} ms, p99 {row.p99_ms:.3f} ms, {row.throughput_per_s:.0f}/s, "
            f"load {row.load_s:.2f} s{memory}{energy} (n {row.n})"
        )
    for name, reason in refused.items():
        typer.echo(f"  {name}: {reason}")
