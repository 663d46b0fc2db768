"""A cycle of the maintenance loop on a second of vibration, and the remaining life of one engine.

    python -m benchmarks.maintenance [--rounds N] [--json]

One second of simulated vibration, three channels at 25.6 kHz, through everything that the loop does with it, on one
thread. Beside it, in the same run, what it would cost to describe the same second with the usual tools: scipy's
Welch spectrum, Hilbert envelope and its spectrum for each channel. Processor time; the machine's noise is in it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.signal import hilbert, welch
from scipy.stats import kurtosis

from apps.manufacturing.maintenance.analysis import MachineAnalyzer, Settings
from apps.manufacturing.maintenance.life import LifeHistory
from apps.manufacturing.maintenance.loop import load_models
from apps.manufacturing.maintenance.recording import MachineChunk
from apps.manufacturing.simulation.machines import draw_machine, measure

RATE_HZ, CHANNELS = 25_600.0, 3
LEARN = 8


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    blocks = [
        measure(draw_machine(3, "outer_race"), 10.0 * n, rate_hz=RATE_HZ, channels=CHANNELS)
        for n in range(1, options.rounds + 1)
    ]
    models = load_models(None)
    analyzer = MachineAnalyzer(models, Settings(learn=LEARN))
    names = ("radial", "axial", "tangential")
    ours, peer = [], []
    for number, block in enumerate(blocks):
        chunk = MachineChunk(
            block.vibration, RATE_HZ, names, block.slow, number * int(RATE_HZ), "bench", burst=True
        )
        ours.append(_ms(lambda chunk=chunk: list(analyzer.push(chunk))))  # type: ignore[misc]
        peer.append(_ms(lambda block=block: usual_tools(block.vibration.astype(np.float64), RATE_HZ)))  # type: ignore[misc]
    table = {
        "a cycle, 1 s of 3 channels at 25.6 kHz": _summary(ours[LEARN:]),
        "the usual tools on the same second": _summary(peer[LEARN:]),
    }
    if models.life is not None:
        rng = np.random.default_rng(0)
        history, took = LifeHistory(models.life), []
        for cycle in range(1, 201):
            row = {f"setting_{n}": 0.0 for n in range(1, 4)} | {"cycle": float(cycle)}
            row |= {f"sensor_{n}": 500 + float(rng.standard_normal()) for n in range(1, 22)}
            took.append(_ms(lambda row=row: history.push(row)))  # type: ignore[misc]
        table["remaining life of an engine, at its 100th to 200th cycle"] = _summary(took[100:])
    if options.json:
        print(json.dumps(table, indent=2))
        return
    for name, row in table.items():
        print(
            f"{name:<60} median {row['median_ms']:7.2f} ms   worst {row['worst_ms']:7.2f} ms   n {row['n']}"
        )
    ratio = (
        table["a cycle, 1 s of 3 channels at 25.6 kHz"]["median_ms"]
        / table["the usual tools on the same second"]["median_ms"]
    )
    print(f"ours over the usual tools: {ratio:.2f}")


def usual_tools(vibration: NDArray[np.float64], rate_hz: float) -> list[float]:
    """Describe a second channel by channel with scipy: spectrum, crest, kurtosis, spectrum of the envelope."""
    found = []
    for samples in vibration.T:
        _, density = welch(samples, rate_hz, nperseg=4096)
        envelope = np.abs(hilbert(samples))
        spectrum = np.abs(np.fft.rfft(envelope - envelope.mean()))
        found += [
            float(density.sum()),
            float(spectrum.max()),
            float(kurtosis(samples)),
            float(np.ptp(samples)),
        ]
    return found


def _ms(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1e3


def _summary(took_ms: list[float]) -> dict[str, float]:
    return {"median_ms": float(np.median(took_ms)), "worst_ms": max(took_ms), "n": len(took_ms)}


if __name__ == "__main__":
    main()
