"""The engine that `backend="auto"` chooses, against every engine as its own documentation opens it.

    python -m benchmarks.engines [--yolox yolox_nano.onnx] [--tflite FOLDER] [--threads 1] [--seconds 10] [--only NAME]

Models: those that the apps ship, MobileNetV2 and EfficientNet-B0 with random weights (extra `train`), YOLOX-nano where
its file is named, and what lies as .tflite in --tflite. For each model the fastest engine is found anew in a cache of
its own, as `edgeai model prepare` does it; then it and all raw engines take turns, a block of calls each, in one run.
The ratio is the median over rounds of the time of `auto` by the time of the raw engine that is best in that run, of
each round the lower quartile of its calls. Its interval is a bootstrap over rounds. Two sessions of one engine and
model differ by where their weights come to lie in memory, by 10 % at times: so each is opened --sessions times, and of
a round the fastest session counts.

`onnxruntime`, `openvino` and `litert` are sessions as a plain script makes them, with the same number of threads;
the interval of the ratio tells how much of it is chance.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeai_core.app import app_names, load_app
from edgeai_core.errors import EdgeAIError
from edgeai_core.optimize.references import reference_model
from edgeai_core.runners.auto import find_fastest
from edgeai_core.runners.bare import bare_card
from edgeai_core.runners.card import ModelCard, card_path, read_card
from edgeai_core.runners.machine import this_machine
from edgeai_core.runners.model_file import read_model_file
from edgeai_core.runners.open import open_runner
from edgeai_core.runners.timing import interleaved

TARGET = 1.03
Call = Callable[[], object]


@dataclass(frozen=True)
class Model:
    """A model to be timed."""

    name: str
    path: Path
    card: ModelCard | Path


def main() -> None:
    """Time every model and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--yolox", type=Path, help="YOLOX-nano's .onnx of its official release")
    parser.add_argument("--tflite", type=Path, help="a folder of .tflite files")
    parser.add_argument("--references", type=Path, help="where the reference networks are kept between runs")
    parser.add_argument("--threads", type=int, default=1, help="threads of every engine (default 1)")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="how long to time each model (default 10)"
    )
    parser.add_argument("--sessions", type=int, default=3, help="how often each is opened (default 3)")
    parser.add_argument("--only", help="the model with this name alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        models = list(_models(options, Path(scratch)))
        print(f"{this_machine()}, {options.threads} thread(s), load {os.getloadavg()[0]:.1f}\n")
        head = "| model | auto chose | auto ms | onnxruntime ms | openvino ms | litert ms | auto / best raw (95 %) |"
        print(f"{head}\n|---|---|---|---|---|---|---|")
        worst = 0.0
        for number, model in enumerate(models):
            worst = max(
                worst,
                time_model(
                    model, options.threads, options.seconds, options.sessions, Path(scratch) / str(number)
                ),
            )
        print(f"\nworst ratio {worst:.3f} (target: at most {TARGET}); load {os.getloadavg()[0]:.1f}")


def time_model(model: Model, threads: int, seconds: float, sessions: int, cache: Path) -> float:
    """Print a model's row and return its ratio."""
    answer = find_fastest(model.path, model.card, threads, cache)
    inputs = read_model_file(model.path, model.card).example()
    calls: dict[str, Call] = {}
    openers = {
        "auto": chosen(model, threads, cache),
        "onnxruntime": raw_onnx,
        "openvino": raw_openvino,
        "litert": raw_litert,
    }
    for number in range(sessions):
        for name, opened in openers.items():
            try:
                call = opened(model.path, inputs, threads)
                call()
            except Exception:  # an engine that does not take the model has no column
                continue
            calls[f"{name} {number}"] = call
    times = interleaved(calls, seconds, min_rounds=12)
    of_round = {
        name: np.min(
            [np.percentile(each, 25, axis=1) for key, each in times.items() if key.split()[0] == name], axis=0
        )
        for name in openers
        if f"{name} 0" in times
    }
    best = min(
        (name for name in of_round if name != "auto"), key=lambda name: float(np.median(of_round[name]))
    )
    ratios = of_round["auto"] / of_round[best]
    drawn = np.random.default_rng(0).integers(0, len(ratios), (2000, len(ratios)))
    low, high = np.percentile(np.median(ratios[drawn], axis=1), [2.5, 97.5])
    medians = {name: f"{np.median(each) / 1e6:.3f}" for name, each in of_round.items()}
    cells = [medians.get(name, "-") for name in ("onnxruntime", "openvino", "litert")]
    ratio = float(np.median(ratios))
    print(
        f"| {model.name} | {answer.choice} | {medians['auto']} | {' | '.join(cells)} "
        f"| {ratio:.3f} ({low:.3f} to {high:.3f}) of {best}, {len(ratios)} rounds |",
        flush=True,
    )
    return ratio


def chosen(model: Model, threads: int, cache: Path) -> Callable[..., Call]:
    """Return what opens the engine that `auto` chose."""

    def opened(path: Path, inputs: dict[str, np.ndarray], _: int) -> Call:
        runner = open_runner(path, model.card, backend="auto", threads=threads, cache=cache)
        return lambda: runner.run(inputs)

    return opened


def raw_onnx(path: Path, inputs: dict[str, np.ndarray], threads: int) -> Call:
    """Open a model as the documentation of onnxruntime does."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, inputs)


def raw_openvino(path: Path, inputs: dict[str, np.ndarray], threads: int) -> Call:
    """Open a model as the documentation of OpenVINO does."""
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    return lambda: compiled(inputs)


def raw_litert(path: Path, inputs: dict[str, np.ndarray], threads: int) -> Call:
    """Open a model as the documentation of LiteRT does."""
    if path.suffix != ".tflite":
        raise ValueError("no .tflite file")
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    run = interpreter.get_signature_runner()
    return lambda: run(**inputs)


def _models(options: argparse.Namespace, scratch: Path) -> Iterator[Model]:
    for model in _all_models(options, scratch):
        if options.only in (None, model.name):
            yield model


def _all_models(options: argparse.Namespace, scratch: Path) -> Iterator[Model]:
    for app_name in app_names():
        for path in load_app(app_name).models:
            card = read_card(path)
            model = path.with_name(card.file)
            if model.is_file() and model.suffix == ".onnx":
                yield Model(card.name, model, path)
    for name in ("MobileNetV2", "EfficientNet-B0"):
        try:
            model = reference_model(name, options.references or scratch)
        except EdgeAIError as error:
            print(f"{name}: {error}")
        else:
            yield Model(name, model, card_path(model))
    if options.yolox is not None:
        yield Model("YOLOX-nano", options.yolox, bare_card(options.yolox))
    if options.tflite is not None:
        for model in sorted(options.tflite.glob("*.tflite")):
            yield Model(model.stem, model, bare_card(model))


if __name__ == "__main__":
    main()
