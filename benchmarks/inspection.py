"""Time per part: ``python -m benchmarks.inspection [MODEL]``; the judge against the backbone alone, in one run."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from apps.manufacturing.inspection.boards import find_candidates
from apps.manufacturing.inspection.graph import BACKBONE
from apps.manufacturing.inspection.inspector import open_inspector
from apps.manufacturing.inspection.loop import SIMULATED_MODEL
from apps.manufacturing.simulation.line import Scenario, line_part
from edgeai_core.runners.onnx import OnnxRunner

ROUNDS = 40


def milliseconds(work: Callable[[int], object]) -> tuple[float, float]:
    """Return median and 95th percentile of processor time, one thread."""
    times = []
    for number in range(ROUNDS + 3):
        started = time.process_time()
        work(number)
        times.append(time.process_time() - started)
    low, high = np.percentile(times[3:], (50, 95))
    return 1000 * float(low), 1000 * float(high)


def board(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a made template of 640 x 640 and a board with six defects, a pixel off."""
    random = np.random.default_rng(number)
    template = np.full((640, 640), 255, np.uint8)
    template[(np.arange(640) // 16 % 2).astype(bool)] = 0
    template[:, :24] = 255
    made = np.roll(template, 1, 1)
    for _ in range(6):
        x, y = random.integers(40, 600, 2)
        made[y : y + 9, x : x + 9] = 255 - made[y : y + 9, x : x + 9]
    return template, made


def main(model: Path) -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    inspector = open_inspector(model)
    size = int(inspector.card.number("size"))
    parts = [line_part(Scenario.DRIFT, number, 1).part.pixels for number in range(ROUNDS + 3)]
    boards = [board(number) for number in range(ROUNDS + 3)]
    backbone = OnnxRunner(BACKBONE)
    image = np.zeros((1, 3, size, size), np.float32)
    peer, peer_high = milliseconds(lambda n: backbone.run({"image": image}))
    rows = [("backbone alone", peer, peer_high)]
    rows.append(
        (f"part, {size} x {size}: pixels to defects", *milliseconds(lambda n: inspector.inspect(parts[n])))
    )
    rows.append(
        ("board, 640 x 640: template to candidates", *milliseconds(lambda n: find_candidates(*boards[n])))
    )
    print(f"{'one thread':<44}{'ms (median)':>12}{'95 %':>8}{'of backbone':>13}{'parts/s':>9}")
    for name, median, high in rows:
        print(f"{name:<44}{median:>12.1f}{high:>8.1f}{median / peer:>13.2f}{1000 / median:>9.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", type=Path, default=SIMULATED_MODEL, help="a taught model (.onnx)")
    main(parser.parse_args().model)
