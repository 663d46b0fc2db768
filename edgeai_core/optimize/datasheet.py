"""The datasheet of a machine: what each model costs on each engine, beside what others published of boards."""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from edgeai_core.optimize.chart import Bar, bar_chart
from edgeai_core.optimize.measure import Measurement
from edgeai_core.optimize.power import EnergyMeter
from edgeai_core.optimize.profiles import PROFILES
from edgeai_core.runners.card import ModelCard
from edgeai_core.runners.machine import Machine, this_machine
from edgeai_core.runners.open import engine_versions

CHART = "datasheet.svg"


@dataclass(frozen=True)
class Sheet:
    """One model: its card, a measurement of each engine, why others could not, and which is taken here."""

    card: ModelCard
    rows: tuple[Measurement, ...]
    refused: Mapping[str, str]
    chosen: str = ""


@dataclass(frozen=True)
class Table:
    """A table as the pages show it; ``note`` stands under its title."""

    title: str
    note: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


PUBLISHED_NETWORKS = Table(
    "Networks (published, not reproduced: weights and validation set are not at hand)",
    "ImageNet top-1, parameters, and time of one picture on a Jetson Nano.",
    ("network", "parameters", "top-1 %", "Jetson Nano ms"),
    (
        ("MobileNetV2", "3,504,872 (13.4 MB)", "71.8", "23"),
        ("EfficientNet-B0", "5.3 million", "77.1", "28"),
        ("ResNet-50", "25.6 million", "76.0", "89"),
    ),
)
PUBLISHED_QUANTISATION = Table(
    "Quantisation (published, not reproduced)",
    "One network, after training, with a representative set.",
    ("kind", "MB", "ms", "top-1 %"),
    (
        ("float32", "25.2", "45", "76.1"),
        ("dynamic range", "6.4", "31", "75.8"),
        ("full integer", "6.4", "18", "75.3"),
        ("float16", "12.6", "38", "76.0"),
    ),
)
PUBLISHED_RUNTIMES = Table(
    "Engines (published, not reproduced)",
    "One network on a processor and on a GPU.",
    ("engine", "CPU ms", "GPU ms", "memory MB"),
    (
        ("TensorFlow Lite", "23", "8", "45"),
        ("ONNX Runtime", "19", "7", "38"),
        ("PyTorch Mobile", "26", "9", "52"),
        ("OpenVINO", "15", "6", "41"),
    ),
)


def published_boards() -> Table:
    """Return what was published of the boards, with frames per second for each watt."""
    rows = []
    for board in PROFILES.values():
        for figure in board.published:
            per_watt = figure.frames_per_s_per_w
            rows.append(
                (
                    board.title, figure.network, f"{figure.frames_per_s:g}",
                    "-" if figure.watts is None else f"{figure.watts:g}",
                    "-" if per_watt is None else f"{per_watt:.1f}", figure.accuracy or "-", figure.source,
                )
            )  # fmt: skip
        if not board.published:
            rows.append((board.title, "no figure at hand", "-", "-", "-", "-", "-"))
    head = ("board", "network", "frames/s", "W", "frames/s/W", "accuracy", "source")
    return Table(
        "Boards (published, not reproduced)", "Whether batches were used is not stated.", head, tuple(rows)
    )


def measured(sheets: Sequence[Sheet]) -> Table:
    """Return the measurements, a row for each model and engine; an engine that takes no such model has its reason."""
    rows: list[tuple[str, ...]] = []
    for sheet in sheets:
        name = f"{sheet.card.name} {sheet.card.version}"
        for row in sheet.rows:
            per_watt = None if not row.energy_j else 1 / row.energy_j
            mark = " (chosen)" if sheet.chosen.split(" ")[0] == row.engine.backend else ""
            rows.append(
                (
                    name, f"{row.engine.engine} {row.engine.version}{mark}", f"{row.p50_ms:.3f}", f"{row.p99_ms:.3f}",
                    f"{row.throughput_per_s:.0f}", "-" if row.memory_mib is None else f"{row.memory_mib:.0f}",
                    "-" if row.load_s is None else f"{row.load_s:.2f}", f"{row.size_bytes / 1e6:.2f}",
                    "not readable" if row.energy_j is None else f"{1e3 * row.energy_j:.3g}",
                    "not readable" if per_watt is None else f"{per_watt:.3g}", str(row.n),
                )
            )  # fmt: skip
        for engine, reason in sheet.refused.items():
            rows.append((name, engine, *("-" for _ in range(8)), reason))
    head = (
        "model", "engine", "p50 ms", "p99 ms", "calls/s", "memory MiB", "load s", "file MB", "mJ a call", "calls/s/W",
        "n",
    )  # fmt: skip
    note = (
        "One caller, calls one after the other, each engine in a process of its own; memory is what engine and model "
        "add to it. Other work on the machine is in the figures: the chosen engine was found with all taking turns."
    )
    return Table("Measured on this machine", note, head, tuple(rows))


def digests(sheets: Sequence[Sheet]) -> Table:
    """Return the digests of models and of the data that they were called with here."""
    rows = tuple(
        (
            sheet.card.name, sheet.card.digest,
            "noise, seed 0" if sheet.card.golden is None else f"golden vectors {sheet.card.golden.digest}",
        )
        for sheet in sheets
    )  # fmt: skip
    return Table(
        "Digests (SHA-256)", "The model files, and the data of these calls.", ("model", "file", "data"), rows
    )


def machine_digest(machine: Machine) -> str:
    """Return a digest of machine and engine versions: figures with another are of another machine."""
    known = {"machine": machine.key(), "engines": engine_versions()}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def chart(sheets: Sequence[Sheet]) -> str:
    """Return the times as a picture (SVG): a bar to the median, a thin line to the 99th percentile."""
    bars = [
        Bar(f"{sheet.card.name}, {row.engine.engine}", row.p50_ms, row.p99_ms, row.engine.engine)
        for sheet in sheets
        for row in sheet.rows
    ]
    return bar_chart("Time of one call in ms: median, and 99th percentile (logarithmic)", bars)


def markdown(sheets: Sequence[Sheet], command: str, when: datetime | None = None) -> str:
    """Return the datasheet as Markdown; the picture lies beside it as ``datasheet.svg``."""
    lines = ["# Datasheet of a machine", "", *_about(command, when), ""]
    lines += [f"![Time of one call, by model and engine]({CHART})", ""]
    for table in _tables(sheets):
        lines += [f"## {table.title}", "", table.note, ""]
        lines += ["| " + " | ".join(table.head) + " |", "|" + "---|" * len(table.head)]
        lines += ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in table.rows]
        lines.append("")
    return "\n".join(lines)


def page(sheets: Sequence[Sheet], command: str, when: datetime | None = None) -> str:
    """Return the datasheet as one page of HTML that needs no other file and runs no script."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Datasheet of a machine</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<style>body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;"
        "color:#1b1b1b;background:#fff}table{border-collapse:collapse;font-size:.85rem}"
        ".wide{overflow-x:auto}th,td{border:1px solid #bbb;padding:.2rem .5rem;text-align:left}"
        "td:not(:first-child){font-variant-numeric:tabular-nums}th{background:#eee}svg{max-width:100%;height:auto}"
        "</style></head><body><h1>Datasheet of a machine</h1>"
    ]
    parts += [f"<p>{_marked_up(line)}</p>" for line in _about(command, when) if line]
    parts.append(chart(sheets))
    for table in _tables(sheets):
        head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in table.head)
        body = "".join(
            "<tr>" + "".join(f"<td>{_marked_up(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
        )
        parts.append(
            f"<h2>{html.escape(table.title)}</h2><p>{_marked_up(table.note)}</p>"
            f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        )
    return "".join([*parts, "</body></html>\n"])


def _marked_up(text: str) -> str:
    """Return text of the Markdown page as HTML: what stands between backticks is code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _tables(sheets: Sequence[Sheet]) -> list[Table]:
    return [
        measured(sheets), published_boards(), PUBLISHED_RUNTIMES, PUBLISHED_NETWORKS, PUBLISHED_QUANTISATION,
        digests(sheets),
    ]  # fmt: skip


def _about(command: str, when: datetime | None) -> list[str]:
    machine, meter = this_machine(), EnergyMeter()
    versions = ", ".join(f"{name} {version}" for name, version in engine_versions().items())
    stamp = (when or datetime.now(UTC)).strftime("%Y-%m-%d")
    energy = "" if meter.readable else f" Energy is not readable: {meter.unreadable}."
    instructions = ", ".join(machine.instructions) or "none of those that matter"
    return [
        f"Printed by `{command}` on {stamp}. {machine}; instructions: {instructions}; {versions}.{energy}",
        "",
        f"Machine and engines together have the digest {machine_digest(machine)}.",
    ]
