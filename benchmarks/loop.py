"""How punctual the loop is beside inference, against common ways to write a loop.

``python -m benchmarks.loop [--seconds 20] [--rounds 3] [--json]``. Every variant runs in a process of its own,
in turn, with the same inference: in a thread of that process, or in another process. Load and steal time (what the
hypervisor took) are printed beside the figures, for the far tail is made of them. Rows with SCHED_FIFO need the right
to ask for it, and say where the machine refuses.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_core.clock import MonotonicClock
from edgeai_core.decision import Decision
from edgeai_core.loop.cycle import Cycle
from edgeai_core.loop.loop import Loop
from edgeai_core.loop.realtime import apply_realtime
from edgeai_core.loop.spec import Every, Input, LoopSpec, Parts, Realtime
from edgeai_core.sample import Reading

RATE_HZ = 100.0
PERIOD_NS = int(1e9 / RATE_HZ)
SPIN_S = 0.0004
VARIANTS = {
    "sleep": "time.sleep(period - elapsed)",
    "asyncio": "asyncio.sleep(period - elapsed)",
    "absolute": "bare absolute deadline",
    "edgeai": "edgeai loop",
    "edgeai-spin": f"edgeai loop, {SPIN_S * 1e3:.1f} ms spin",
    "edgeai-fifo": "edgeai loop, SCHED_FIFO",
    "lone-fifo": "absolute deadline, its thread alone SCHED_FIFO",
    "absolute-process": "bare absolute deadline",
    "edgeai-process": "edgeai loop",
    "edgeai-fifo-process": "edgeai loop, SCHED_FIFO",
}
PRIORITY = 50
_SCHED_RESET_ON_FORK = 0x40000000  # linux/sched.h: what is started later does not inherit the priority


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="per variant and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--infer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.infer:
        ready = threading.Event()
        threading.Thread(target=lambda: (ready.wait(), print("ready", flush=True)), daemon=True).start()
        infer(threading.Event(), ready)
    if options.variant:
        print(json.dumps(measure(options.variant, options.seconds)))
        return
    steal_before = steal_s()
    started_s = time.monotonic()
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in VARIANTS}
    for _ in range(options.rounds):
        for name in VARIANTS:
            command = [
                sys.executable,
                "-m",
                "benchmarks.loop",
                "--variant",
                name,
                "--seconds",
                str(options.seconds),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            results[name].append(json.loads(done.stdout))
    wall_s = time.monotonic() - started_s
    steal = (steal_s() - steal_before) / (wall_s * (os.cpu_count() or 1))
    table = {name: merge(rounds) for name, rounds in results.items()}
    cost = cycle_cost_us()
    imports = import_cost()
    if options.json:
        print(json.dumps({"loop": table, "steal_share": steal, "cycle_us": cost, "import": imports}))
        return
    print(f"loop at {RATE_HZ:g} Hz beside ONNX inference, {options.rounds} x {options.seconds:g} s each;")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, steal {100 * steal:.2f} %")
    for name, row in table.items():
        if name in ("sleep", "absolute-process"):
            where = "another process" if name.endswith("process") else "a thread of the same process"
            print(f"beside {where}")
            print(
                f"{'':48}{'lost %':>9}{'drift ms/s':>12}{'median us':>11}{'p99 us':>9}{'p99.9 us':>10}{'core %':>8}"
            )
        if row["refused"]:
            print(f"  {VARIANTS[name]:46}the machine refuses it; see `edgeai doctor`")
            continue
        print(
            f"  {VARIANTS[name]:46}{row['lost_percent']:9.3f}{row['drift_ms_per_s']:12.3f}{row['p50_us']:11.0f}"
            f"{row['p99_us']:9.0f}{row['p999_us']:10.0f}{row['core_percent']:8.2f}"
        )
    print(
        f"\nframework cost of a cycle (two inputs, statistics, one sink): "
        f"median {cost['p50']:.1f} us, p99 {cost['p99']:.1f} us"
    )
    print(
        f"import edgeai_core.loop.loop: {imports['ms']:.0f} ms over a bare interpreter, "
        f"numpy loaded: {imports['numpy']}"
    )


def measure(variant: str, seconds: float) -> dict[str, Any]:
    """Run one variant beside the inference; return its start times against the ideal grid."""
    kind = variant.removesuffix("-process")
    wish = Realtime(
        SPIN_S if kind == "edgeai-spin" else 0.0, priority=PRIORITY if kind == "edgeai-fifo" else None
    )
    refused = apply_realtime(wish) if kind.startswith("edgeai") else []
    loop: Callable[[float], tuple[list[int], int, int]] = {
        "sleep": tutorial_loop,
        "asyncio": asyncio_loop,
        "absolute": absolute_loop,
        "lone-fifo": absolute_loop,
    }.get(kind, lambda s: edgeai_loop(s, wish))
    with inference_beside(in_a_process=kind != variant):
        if kind == "lone-fifo":
            refused = _alone_to_fifo()
        cpu_before_s = time.thread_time()
        starts, first_ns, missed = loop(seconds)
        cpu_s = time.thread_time() - cpu_before_s
    times = np.asarray(starts) - first_ns
    elapsed_s = times[-1] / 1e9
    expected = round(elapsed_s * RATE_HZ) + 1
    drifts = kind in ("sleep", "asyncio")
    lateness = times - np.arange(len(times)) * PERIOD_NS if drifts else times % PERIOD_NS
    drift = np.polyfit(times / 1e9, lateness / 1e6, 1)[0] if drifts else 0.0
    if drifts:  # against its own intention, which drifts
        lateness = np.diff(times, prepend=times[0] - PERIOD_NS) - PERIOD_NS
    return {
        "releases": expected,
        "lost": max(expected - len(starts), missed, 0),
        "drift_ms_per_s": float(drift),
        "lateness_us": (np.maximum(lateness, 0) / 1000).round(1).tolist(),
        "core_percent": 100 * cpu_s / elapsed_s,
        "refused": bool(refused),
    }


@contextmanager
def inference_beside(*, in_a_process: bool) -> Iterator[None]:
    """Run inference without a pause, in a thread of this process or in another process."""
    if in_a_process:
        command = [sys.executable, "-m", "benchmarks.loop", "--infer"]
        # Another program, so of ordinary priority whatever this process has.
        busy = subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=_ordinary)
        assert busy.stdout is not None
        busy.stdout.readline()
        yield
        busy.kill()
        busy.communicate()
        return
    stop, ready = threading.Event(), threading.Event()
    thread = threading.Thread(target=infer, args=(stop, ready))
    thread.start()
    ready.wait()
    yield
    stop.set()
    thread.join()


def _ordinary() -> None:
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _alone_to_fifo() -> list[str]:
    """Give this thread the priority and no other: what one tries first."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | _SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))
    except OSError as error:
        return [str(error)]
    return []


def merge(rounds: list[dict[str, Any]]) -> dict[str, float]:
    """Pool the rounds of one variant."""
    lateness = np.concatenate([r["lateness_us"] for r in rounds])
    return {
        "releases": float(sum(r["releases"] for r in rounds)),
        "lost_percent": 100 * sum(r["lost"] for r in rounds) / sum(r["releases"] for r in rounds),
        "drift_ms_per_s": float(np.mean([r["drift_ms_per_s"] for r in rounds])),
        "p50_us": float(np.percentile(lateness, 50)),
        "p99_us": float(np.percentile(lateness, 99)),
        "p999_us": float(np.percentile(lateness, 99.9)),
        "core_percent": float(np.mean([r["core_percent"] for r in rounds])),
        "refused": float(any(r["refused"] for r in rounds)),
    }


def tutorial_loop(seconds: float) -> tuple[list[int], int, int]:
    """Work, then sleep for what is left of the period: what most tutorials show."""
    starts: list[int] = []
    end = time.monotonic() + seconds
    while (begin := time.monotonic()) < end:
        starts.append(time.monotonic_ns())
        time.sleep(max(0.0, 1 / RATE_HZ - (time.monotonic() - begin)))
    return starts, starts[0], 0


def asyncio_loop(seconds: float) -> tuple[list[int], int, int]:
    """Do the same with asyncio."""

    async def run() -> list[int]:
        starts: list[int] = []
        end = time.monotonic() + seconds
        while (begin := time.monotonic()) < end:
            starts.append(time.monotonic_ns())
            await asyncio.sleep(max(0.0, 1 / RATE_HZ - (time.monotonic() - begin)))
        return starts

    starts = asyncio.run(run())
    return starts, starts[0], 0


def absolute_loop(seconds: float) -> tuple[list[int], int, int]:
    """Sleep to absolute times; releases that have passed are skipped."""
    starts: list[int] = []
    first_ns = time.monotonic_ns() + PERIOD_NS
    release_ns, missed = first_ns, 0
    while release_ns - first_ns < seconds * 1e9:
        if (left_ns := release_ns - time.monotonic_ns()) > 0:
            time.sleep(left_ns * 1e-9)
        now_ns = time.monotonic_ns()
        starts.append(now_ns)
        passed = (now_ns - release_ns) // PERIOD_NS
        missed += passed
        release_ns += (passed + 1) * PERIOD_NS
    return starts, first_ns, missed


def edgeai_loop(seconds: float, realtime: Realtime) -> tuple[list[int], int, int]:
    """Run the loop of this project, as its own process sets it up."""
    starts: list[int] = []
    releases: list[int] = []

    class Keep:
        def put(self, cycle: Cycle[Any]) -> None:
            starts.append(cycle.start_ns)
            releases.append(cycle.snapshot.release_ns)
            if len(starts) >= seconds * RATE_HZ:
                loop.stop()

    nothing = Decision(None)
    spec = LoopSpec(
        "bench", Every(RATE_HZ), (), lambda: Parts((), lambda s: nothing, lambda s, f: nothing), 0.01, nothing,
        realtime=realtime,
    )  # fmt: skip
    loop = Loop(spec, spec.build(), MonotonicClock(), sinks=[Keep()])
    loop.run()
    missed = loop.statistics.summary()["missed_releases"]
    return starts, releases[0], int(str(missed))


def infer(stop: threading.Event, ready: threading.Event) -> None:
    """Run a small network without a pause until told to stop."""
    import onnx
    import onnxruntime

    rng = np.random.default_rng(0)
    weights = [
        onnx.numpy_helper.from_array(rng.normal(0, 0.05, (512, 512)).astype(np.float32), f"w{i}")
        for i in range(4)
    ]
    names = ["x", "a", "b", "c", "y"]
    nodes = [onnx.helper.make_node("MatMul", [names[i], f"w{i}"], [names[i + 1]]) for i in range(4)]
    x, y = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [64, 512]) for n in "xy")
    model = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "busy", [x], [y], weights),
        opset_imports=[onnx.helper.make_opsetid("", 17)],
    )
    model.ir_version = 9
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    data = rng.normal(size=(64, 512)).astype(np.float32)
    session.run(None, {"x": data})
    ready.set()
    while not stop.is_set():
        session.run(None, {"x": data})


def cycle_cost_us(cycles: int = 20_000) -> dict[str, float]:
    """Measure what the core adds to a step: arrivals, snapshot, decision, statistics and one sink."""
    chunk: Input[Any] = Input("chunk", history="new", depth=8, max_age_s=60.0)
    level: Input[Any] = Input("level", required=False)

    class Nowhere:
        def put(self, cycle: Cycle[Any]) -> None: ...

    decision = Decision(None)
    spec = LoopSpec(
        "bench",
        Every(RATE_HZ),
        (chunk, level),
        lambda: Parts((), lambda s: decision, lambda s, f: decision),
        10.0,
        decision,
    )
    loop = Loop(spec, spec.build(), MonotonicClock(), sinks=[Nowhere()], fed=["chunk", "level"])
    took = []
    for number in range(cycles):
        begin = time.perf_counter_ns()
        loop.mailbox.put("chunk", Reading(number, sequence=number))
        loop.mailbox.put("level", Reading(number))
        loop.cycle(time.monotonic_ns())
        took.append(time.perf_counter_ns() - begin)
    return {"p50": float(np.percentile(took, 50)) / 1000, "p99": float(np.percentile(took, 99)) / 1000}


def import_cost(rounds: int = 9) -> dict[str, Any]:
    """Measure the loop's import in fresh interpreters over one that imports nothing: the median difference.

    Modules are compiled once before, as an installed package's are, whatever this process's settings.
    """
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}

    def seconds(program: str) -> tuple[float, str]:
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
        )
        return time.perf_counter() - begin, done.stdout.strip()

    code = "import edgeai_core.loop.loop, sys; print('numpy' in sys.modules)"
    with tempfile.TemporaryDirectory() as cache:
        environment["PYTHONPYCACHEPREFIX"] = cache
        seconds(code)
        differences = [seconds(code)[0] - seconds("pass")[0] for _ in range(rounds)]
        return {"ms": 1000 * float(np.median(differences)), "numpy": seconds(code)[1] == "True"}


def steal_s() -> float:
    """Return the seconds that the hypervisor has taken from this machine's cores since boot."""
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
