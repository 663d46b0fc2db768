"""``edgeai top``: a live table of the loops that run with one state."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeai_core.cli.options import JsonOption, StateOption
from edgeai_core.errors import InputError
from edgeai_core.state import State, find_state

if TYPE_CHECKING:
    from rich.table import Table

_STALLED_AFTER_S = 5.0


def top(
    state: StateOption = None,
    once: Annotated[bool, typer.Option("--once", help="Print once and end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show every loop: rate, lateness, time it takes, age of its data, faults. Ends on Ctrl-C."""
    from rich.console import Console
    from rich.live import Live

    folder = find_state(state)
    if as_json:
        typer.echo(json.dumps(loop_statistics(folder), indent=2))
        return
    console = Console()
    if once or not console.is_terminal:
        console.print(loops_table(loop_statistics(folder)))
        return
    with Live(console=console, refresh_per_second=4) as live:
        while True:
            live.update(loops_table(loop_statistics(folder)))
            time.sleep(0.5)


def loop_statistics(state: State) -> list[dict[str, Any]]:
    """Return the statistics of every loop that has run with this state, sorted by name."""
    from edgeai_core.loop.statistics import read_statistics

    found = []
    for path in sorted(state.run.glob("*.stats")):
        try:
            found.append(read_statistics(path))
        except InputError:
            continue  # of another release, or just being replaced
    return found


def loops_table(loops: list[dict[str, Any]]) -> Table:
    """Draw the loops' statistics as a table."""
    from rich.table import Table
    from rich.text import Text

    faults = [
        f"{loop['app']}.{loop['loop']}: {loop['last_fault']}" for loop in loops if loop.get("last_fault")
    ]
    table = Table(
        box=None, pad_edge=False, header_style="bold", caption="\n".join(faults), caption_justify="left"
    )
    for title in ("loop", "state", "rate", "late p99", "takes p99", "age", "missed", "faults"):
        table.add_column(title, no_wrap=True, justify="left" if title in ("loop", "state") else "right")
    for loop in loops:
        condition, style = _condition(loop)
        target = f"/{loop['target_rate_hz']:g}" if loop.get("target_rate_hz") else ""
        table.add_row(
            f"{loop['app']}.{loop['loop']}",
            Text(condition, style=style),
            f"{loop['rate_hz'] or 0:.4g}{target} Hz",
            _p99(loop.get("lateness_us")),
            _p99(loop.get("duration_us")),
            f"{loop['last_age_ns'] / 1e6:.0f} ms" if loop["last_age_ns"] else "-",
            str(loop["missed_releases"]),
            str(loop["faults"]),
        )
    if not loops:
        table.add_row("no loop has run with this state", *[""] * 7)
    return table


def _condition(loop: dict[str, Any]) -> tuple[str, str]:
    if loop["ended"]:
        return "ended", "dim"
    silent_s = (time.monotonic_ns() - loop["last_end_ns"]) / 1e9
    if not loop["cycles"]:
        return "starts", "yellow"
    if silent_s > _STALLED_AFTER_S and loop["target_rate_hz"]:
        return f"silent {silent_s:.0f} s", "red"
    return ("runs", "green") if not loop["level"] else (f"level {loop['level']}", "yellow")


def _p99(times: dict[str, float] | None) -> str:
    return _short(times["p99"]) if times else "-"


def _short(time_us: float) -> str:
    return f"{time_us:.0f} us" if time_us < 1000 else f"{time_us / 1000:.1f} ms"
