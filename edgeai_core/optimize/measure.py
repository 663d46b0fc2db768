"""What a model costs on an engine of this machine: time, memory, energy; by itself in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_core.errors import ModelError
from edgeai_core.optimize.power import EnergyMeter
from edgeai_core.runners.card import ModelCard, pack_card, unpack_card
from edgeai_core.runners.model_file import read_model_file
from edgeai_core.runners.open import open_runner
from edgeai_core.runners.runner import EngineDescription, EngineRunner
from edgeai_core.runners.tensors import noise

_PATIENCE_S = 600.0


@dataclass(frozen=True)
class Measurement:
    """What one call costs: ``n`` calls back to back from one caller, times of each in ms.

    ``throughput_per_s`` is calls by wall time. ``load_s`` is from the file to the first answer, ``memory_mib`` the
    growth of a process by engine and model together (PSS, Linux); both only where it was measured apart.
    ``energy_j`` is what the processor's packages used for one call, all else on the machine included.
    """

    engine: EngineDescription
    n: int
    p50_ms: float
    p99_ms: float
    mean_ms: float
    throughput_per_s: float
    size_bytes: int
    load_s: float | None = None
    memory_mib: float | None = None
    energy_j: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Measurement:
        """Take it back from plain values."""
        return cls(**{**value, "engine": EngineDescription(**value["engine"])})


def measure(
    runner: EngineRunner,
    inputs: Mapping[str, np.ndarray] | None = None,
    *,
    seconds: float = 2.0,
    min_calls: int = 30,
    max_calls: int = 20_000,
    size_bytes: int = 0,
) -> Measurement:
    """Call a runner for ``seconds``, at least ``min_calls`` and at most ``max_calls`` times.

    ``inputs`` are those of every call; without them noise of the card's shapes. Other work on the machine is in
    the figures: compare two models by taking turns (``edgeai_core.runners.timing.interleaved``).
    """
    given = noise(runner.card.inputs) if inputs is None else inputs
    for _ in range(3):
        runner.run(given)
    times: list[int] = []
    joules = EnergyMeter().start()
    begun = time.perf_counter_ns()
    end = begun + int(seconds * 1e9)
    while len(times) < max_calls and (len(times) < min_calls or time.perf_counter_ns() < end):
        start = time.perf_counter_ns()
        runner.run(given)
        times.append(time.perf_counter_ns() - start)
    wall_s = (time.perf_counter_ns() - begun) / 1e9
    used_j = joules()
    p50, p99 = np.percentile(times, [50, 99]) / 1e6
    return Measurement(
        engine=runner.description,
        n=len(times),
        p50_ms=float(p50),
        p99_ms=float(p99),
        mean_ms=float(np.mean(times)) / 1e6,
        throughput_per_s=len(times) / wall_s,
        size_bytes=size_bytes,
        energy_j=None if used_j is None else used_j / len(times),
    )


def measure_apart(
    model: Path,
    card: ModelCard | Path | None = None,
    *,
    backend: str = "onnx",
    threads: int = 1,
    seconds: float = 2.0,
    cache: Path | None = None,
) -> Measurement:
    """Measure a model in a process of its own, which also tells load time and memory.

    Raises ModelError where the model does not load, and where its process dies (of memory, say) or hangs.
    """
    file = read_model_file(model, card)
    asked = {
        "model": str(model), "card": pack_card(card), "backend": backend,
        "threads": threads, "seconds": seconds, "cache": None if cache is None else str(cache),
    }  # fmt: skip
    command = [sys.executable, "-m", "edgeai_core.optimize.measure", json.dumps(asked)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{model}: its measurement did not end in {_PATIENCE_S:.0f} s") from error
    if done.returncode < 0:
        raise ModelError(
            f"{model}: the process that measured it was killed by signal {-done.returncode}"
            f"{' (out of memory?)' if done.returncode == -9 else ''}"
        )
    try:
        told = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError) as error:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ModelError(f"{model}: its measurement failed: {last[:300]}") from error
    if "error" in told:
        raise ModelError(told["error"])
    return Measurement.from_json({**told, "size_bytes": file.size_bytes})


def resident_mib() -> float | None:
    """Return this process's proportional memory (PSS) in MiB, or None where the system does not tell."""
    try:
        text = Path("/proc/self/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("Pss:")), None)


def _measure_here(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Measure in this process, which has done nothing yet."""
    path = Path(asked["model"])
    card = unpack_card(asked["card"])
    cache = Path(asked["cache"]) if asked["cache"] else None
    try:
        example = read_model_file(path, card).example()
    except ModelError as error:
        return {"error": str(error)}
    before = resident_mib()
    begun = time.perf_counter()
    try:
        runner = open_runner(path, card, backend=asked["backend"], threads=asked["threads"], cache=cache)
        load_s = time.perf_counter() - begun
        found = measure(runner, example, seconds=asked["seconds"])
    except ModelError as error:
        return {"error": str(error)}
    after = resident_mib()
    memory = None if before is None or after is None else after - before
    return {**found.to_json(), "load_s": load_s, "memory_mib": memory}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure_here(json.loads(sys.argv[1]))) + "\n")
