"""What one inference costs: time, spread, CPU and memory of the runner against a bare onnxruntime session.

    python benchmarks/runners.py [--model MODEL.onnx] [--seconds 60]

Without ``--model`` it makes a small one-dimensional convolutional network with random weights, of the size that
judges two or four seconds of an ECG. All cases take turns in the same run, a block of calls each, so that what
else the machine does falls on all alike. Memory is proportional (PSS), each case in a process of its own.
Pages of shared libraries are divided among all processes that map them just then, so compare within one run.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgeai_core.runners.budget import thread_budget
from edgeai_core.runners.card import ModelCard, TensorSpec, card_path, read_card, write_card
from edgeai_core.runners.onnx import OnnxRunner

BLOCK = 50
PACE_S = 0.01
"""One call each 10 ms in the paced blocks: what threads do between calls is what spinning is about."""

SETTLE_S = 0.05
"""Between two cases, so that the threads of the one before have stopped spinning."""

Inputs = dict[str, np.ndarray]
Call = Callable[[Inputs], object]


def main() -> None:
    """Measure every case and print two tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="a model with its card beside it")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to measure time (default 60)")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of is not None:
        print(measure_memory(options.model, options.memory_of))
        return
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or write_network(Path(folder))
        card = read_card(card_path(model))
        print(
            f"model {card.name} {card.version}, {model.stat().st_size / 1024:.0f} KiB; {platform.machine()}, "
            f"{os.cpu_count()} cores, thread budget {thread_budget()}; load {os.getloadavg()[0]:.1f}\n"
        )
        print_times(measure_times(model, card, options.seconds), options.seconds)
        print_memory(model)


def cases(model: Path) -> dict[str, Callable[[], Call]]:
    """Return what is compared: a name, and a function that loads it."""
    every = thread_budget()
    found: dict[str, Callable[[], Call]] = {
        "bare session, as it comes": lambda: bare_session(model, None),
        "bare session, 1 thread": lambda: bare_session(model, 1),
        "bare session, 1 thread, bound": lambda: bound_session(model),
        "runner, 1 thread": lambda: OnnxRunner(model).run,
        "runner, 1 thread, arena": lambda: OnnxRunner(model, memory_arena=True, memory_pattern=True).run,
    }
    if every > 1:
        found[f"runner, {every} threads, spinning off"] = lambda: OnnxRunner(model, threads=every).run
        found[f"runner, {every} threads, spinning on"] = lambda: (
            OnnxRunner(model, threads=every, allow_spinning=True).run
        )
    return found


def bare_session(model: Path, threads: int | None) -> Call:
    """Load the model as a plain script would."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if threads is not None:
        options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, inputs)


def bound_session(model: Path) -> Call:
    """Load the model with outputs bound once (IO binding); what comes out is copied, as a caller may keep it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for output in session.get_outputs():
        binding.bind_output(output.name)

    def call(inputs: Inputs) -> object:
        for name, array in inputs.items():
            binding.bind_cpu_input(name, array)
        session.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()

    return call


def measure_times(model: Path, card: ModelCard, seconds: float) -> dict[str, tuple[np.ndarray, float, float]]:
    """Return by case the times of back-to-back calls in us, and the CPU share and median time in us when paced."""
    inputs = make_inputs(card)
    calls = {name: load() for name, load in cases(model).items()}
    for call in calls.values():
        for _ in range(BLOCK):
            call(inputs)
    times: dict[str, list[int]] = {name: [] for name in calls}
    paced: dict[str, list[int]] = {name: [] for name in calls}
    cpu_s = dict.fromkeys(calls, 0.0)
    wall_s = dict.fromkeys(calls, 0.0)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, call in calls.items():
            time.sleep(SETTLE_S)
            for _ in range(BLOCK):
                start = time.perf_counter_ns()
                call(inputs)
                times[name].append(time.perf_counter_ns() - start)
            cpu, begun = time.process_time(), time.monotonic()
            for number in range(BLOCK):
                start = time.perf_counter_ns()
                call(inputs)
                paced[name].append(time.perf_counter_ns() - start)
                time.sleep(max(0.0, begun + (number + 1) * PACE_S - time.monotonic()))
            cpu_s[name] += time.process_time() - cpu
            wall_s[name] += time.monotonic() - begun
    return {
        name: (np.array(times[name]) / 1e3, cpu_s[name] / wall_s[name], float(np.median(paced[name])) / 1e3)
        for name in calls
    }


def print_times(found: dict[str, tuple[np.ndarray, float, float]], seconds: float) -> None:
    """Print a row for each case."""
    print(
        f"time of one inference in us, back to back, and called every {1000 * PACE_S:.0f} ms ({seconds:.0f} s)"
    )
    print(
        f"| {'case':34} | {'n':>6} | {'p50':>7} | {'p99':>7} | {'p99.9':>7} | {'paced p50':>9} | {'paced CPU':>9} |"
    )
    print(f"|{'-' * 36}|{'-' * 8}|{'-' * 9}|{'-' * 9}|{'-' * 9}|{'-' * 11}|{'-' * 11}|")
    for name, (times, cpu_share, paced) in found.items():
        p50, p99, p999 = np.percentile(times, [50, 99, 99.9])
        row = f"| {name:34} | {len(times):6} | {p50:7.1f} | {p99:7.1f} | {p999:7.1f} | {paced:9.1f} "
        print(f"{row}| {100 * cpu_share:7.1f} % |")
    print()


def print_memory(model: Path) -> None:
    """Print what each case adds to a process that has numpy and pydantic, and how long it takes to load."""
    print(
        "growth of a process with numpy and pydantic: onnxruntime and model together, and time to load them"
    )
    print(f"| {'case':34} | {'PSS MiB':>7} | {'load ms':>7} |")
    print(f"|{'-' * 36}|{'-' * 9}|{'-' * 9}|")
    for name in cases(model):
        command = [sys.executable, __file__, "--model", str(model), "--memory-of", name]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        print(f"| {name:34} | {done.stdout.rstrip()} |")


def measure_memory(model: Path, case: str) -> str:
    """Load and run one case in this process and return its two cells."""
    inputs = make_inputs(read_card(card_path(model)))
    before, begun = proportional_mib(), time.monotonic()
    call = cases(model)[case]()
    loaded = time.monotonic() - begun
    for _ in range(BLOCK):
        call(inputs)
    return f"{proportional_mib() - before:7.1f} | {1000 * loaded:7.0f}"


def proportional_mib() -> float:
    """Return this process's PSS (Linux)."""
    for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/smaps_rollup has no Pss line")


def make_inputs(card: ModelCard) -> Inputs:
    """Return noise of the card's shapes; what may vary is 1."""
    rng = np.random.default_rng(0)
    return {
        spec.name: rng.normal(size=[n if isinstance(n, int) else 1 for n in spec.shape]).astype(spec.dtype)
        for spec in card.inputs
    }


def write_network(folder: Path) -> Path:
    """Write a network of four convolutions and its card; return its path. Needs the package onnx."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes, weights, last = [], [], "window"
    for number, (given, made) in enumerate([(1, 16), (16, 32), (32, 32), (32, 32)]):
        kernel = rng.normal(scale=(7 * given) ** -0.5, size=(made, given, 7)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"kernel{number}"))
        convolution = helper.make_node(
            "Conv", [last, f"kernel{number}"], [f"made{number}"], strides=[2], pads=[3, 3]
        )
        nodes += [convolution, helper.make_node("Relu", [f"made{number}"], [f"kept{number}"])]
        last = f"kept{number}"
    weights.append(numpy_helper.from_array(rng.normal(size=(32, 3)).astype(np.float32), "head"))
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("window", TensorProto.FLOAT, ["batch", 1, 500])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        weights,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = folder / "network.onnx"
    path.write_bytes(made.SerializeToString())
    card = ModelCard(
        name="network",
        version="0",
        task="benchmark",
        file=path.name,
        digest=hashlib.sha256(path.read_bytes()).hexdigest(),
        licence="Apache-2.0",
        intended_use="To be timed.",
        limits=("Its weights are random.",),
        inputs=(TensorSpec("window", ("batch", 1, 500), "float32", "mV"),),
        outputs=(TensorSpec("logits", ("batch", 3), "float32"),),
    )
    write_card(card, card_path(path))
    return path


if __name__ == "__main__":
    main()
