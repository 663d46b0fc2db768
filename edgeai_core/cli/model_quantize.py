"""``edgeai model quantize``: smaller and faster variants of a model, measured here, kept only where they pass."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from edgeai_core.cli.model_files import ModelArgument, find_model
from edgeai_core.cli.options import JsonOption, StateOption
from edgeai_core.cli.tasks import progress_bars
from edgeai_core.errors import ConfigError
from edgeai_core.state import find_state

if TYPE_CHECKING:
    from edgeai_core.optimize.quantize import Kind
    from edgeai_core.optimize.variants import Made, Report


def quantize(
    model: ModelArgument,
    data: Annotated[
        Path,
        typer.Option(
            help="Samples as the model sees them at work: an .npz with an array for each input (and labels, if known), "
            "or a folder of pictures. Half of them calibrate, half judge.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "--output", help="Folder for the variants that pass.", show_default=False)
    ],
    kind: Annotated[
        str, typer.Option(help="float16, dynamic, static (int8), or auto: all of them.")
    ] = "auto",
    drop: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Largest share of samples that may be called another class."),
    ] = 0.03,
    error: Annotated[
        float, typer.Option(min=0.0, help="Largest relative error of outputs that are no classes.")
    ] = 0.1,
    mean: Annotated[
        float, typer.Option(help="Of pictures: (value - mean) / std, values from 0 to 255.")
    ] = 0.0,
    std: Annotated[float, typer.Option(help="See --mean.")] = 255.0,
    side: Annotated[
        int | None,
        typer.Option(min=1, max=8192, help="Of pictures: pixels, where the model leaves them open."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Processor cores to measure with.")] = 1,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make variants of MODEL that are smaller or faster, and keep those that pass the gate on this machine.

    A variant that is slower here, or that answers differently too often, is refused, and the reason said.
    """
    from edgeai_core.optimize.gate import Limits
    from edgeai_core.optimize.quantize import KINDS
    from edgeai_core.optimize.samples import read_samples
    from edgeai_core.optimize.variants import make_variants, write_variant
    from edgeai_core.runners.model_file import read_model_file

    if kind not in KINDS:
        raise ConfigError(f"--kind {kind}: is one of {', '.join(KINDS)}")
    with find_model(model, find_state(state)) as found:
        file = read_model_file(found.path, found.card_path)
        samples = read_samples(data, file.card.inputs, mean=mean, std=std, side=side)
        with progress_bars() as progress:
            report = make_variants(
                file, samples, cast("Kind", kind), limits=Limits(drop, error), threads=threads,
                progress=progress,
            )  # fmt: skip
        kept = {
            each.name: write_variant(each, report, file, samples, out)
            for each in report.variants
            if each.name in report.kept
        }
    if as_json:
        typer.echo(json.dumps(_plain(report, kept), indent=2))
        return
    _print(report, kept)


def rows(report: Report) -> list[dict[str, str]]:
    """Return the table of a report, a row for the source and for each variant."""
    found = [_row("float32 (source)", report.source.method, report.source, "")]
    for each in report.variants:
        verdict = (
            "kept"
            if each.name in report.kept
            else "passes; another beats it in all"
            if each.verdict.passed
            else ""
        )
        found.append(
            _row(
                each.name,
                each.method,
                each.measured,
                verdict or f"refused: {'; '.join(each.verdict.reasons)}",
            )
        )
    return found


def _row(name: str, method: str, measured: object, verdict: str) -> dict[str, str]:
    from edgeai_core.optimize.gate import Measured

    if not isinstance(measured, Measured):
        return {"variant": name, "size MB": "-", "p50 ms": "-", "x time": "-", "agrees %": "-", "error %": "-",
                "memory MiB": "-", "verdict": verdict, "method": method}  # fmt: skip
    agreement = measured.faithfulness.agreement
    agrees = "-"
    if agreement is not None and agreement.value is not None:
        low, high = agreement.low or 0.0, agreement.high or 0.0
        agrees = f"{100 * agreement.value:.1f} ({100 * low:.1f} to {100 * high:.1f}, n {agreement.n})"
    if measured.faithfulness.accuracy is not None:
        agrees += f"; right {100 * (measured.faithfulness.accuracy.value or 0):.1f}"
    memory = "-" if measured.memory_mib is None else f"{measured.memory_mib:.0f}"
    return {
        "variant": name, "size MB": f"{measured.size_bytes / 1e6:.2f}", "p50 ms": f"{measured.p50_ms:.2f}",
        "x time": f"{measured.ratio:.2f}", "agrees %": agrees, "error %": f"{100 * measured.faithfulness.error:.1f}",
        "memory MiB": memory, "verdict": verdict, "method": method,
    }  # fmt: skip


def _print(report: Report, kept: dict[str, Path]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(box=None, header_style="bold")
    made = rows(report)
    for title in made[0]:
        if title != "method":
            table.add_column(title, justify="left" if title in ("variant", "verdict") else "right")
    for row in made:
        short = {**row, "verdict": row["verdict"].partition(":")[0].partition(";")[0]}
        table.add_row(*(value for title, value in short.items() if title != "method"))
    console.print(table)
    for row in made:
        if row["verdict"].startswith("refused"):
            console.print(f"{row['variant']} {row['verdict']}", highlight=False, markup=False)
    console.print(
        f"calibrated on {report.calibrated} samples, judged on {report.judged} others", highlight=False
    )
    for layer in report.layers[:5]:
        console.print(
            f"  sensitive: {layer.node}, {100 * layer.error:.1f} % alone", highlight=False, markup=False
        )
    for name, path in kept.items():
        console.print(f"{name}: {path}", highlight=False, markup=False, soft_wrap=True)
    if not kept:
        console.print("no variant is kept; the source stays the best on this machine", highlight=False)


def _plain(report: Report, kept: dict[str, Path]) -> dict[str, object]:
    def of(each: Made) -> dict[str, object]:
        measured = None if each.measured is None else asdict(each.measured)
        return {"name": each.name, "method": each.method, "passed": each.verdict.passed,
                "reasons": list(each.verdict.reasons), "measured": measured,
                "file": str(kept[each.name]) if each.name in kept else None}  # fmt: skip

    return {
        "source": asdict(report.source), "variants": [of(each) for each in report.variants],
        "kept": list(report.kept), "layers": [asdict(each) for each in report.layers],
        "calibrated": report.calibrated, "judged": report.judged,
    }  # fmt: skip
