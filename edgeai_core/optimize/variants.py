"""Variants of a model: made, measured in turn with their source, judged at the gate, the best kept with a card.

Half of the samples calibrate, and among methods the choice falls on a third of that half which calibrated nothing.
The other half is looked at once, to judge what was chosen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from edgeai_core.app import Progress
from edgeai_core.errors import ModelError
from edgeai_core.optimize.gate import (
    Limits,
    Measured,
    Outputs,
    Verdict,
    compare,
    judge,
    pareto,
    relative_error,
)
from edgeai_core.optimize.measure import measure_apart
from edgeai_core.optimize.quantize import (
    METHODS,
    Kind,
    Plan,
    Quantiser,
    Sample,
    dynamic,
    float16,
)
from edgeai_core.optimize.samples import Samples
from edgeai_core.optimize.sensitivity import LayerError, rank_layers, steps
from edgeai_core.optimize.vendor import convert_to_tflite
from edgeai_core.runners.card import CardFigure, ModelCard, card_path, digest_of, write_card, write_whole
from edgeai_core.runners.golden import GoldenVector, write_golden
from edgeai_core.runners.model_file import ModelFile
from edgeai_core.runners.open import backends_for, open_runner
from edgeai_core.runners.tensors import noise
from edgeai_core.runners.timing import interleaved, ratios

SOURCE = "float32"

_CONVERTED = 32
"""Samples that calibrate for LiteRT: its converter runs them slowly."""

_ROUNDS = 21
"""Turns that each variant has at least: fewer cannot tell 3 % on a machine that does other things too."""

_MARGIN = 0.6
"""Of the error allowed, what a plan may have on the samples that choose it."""


@dataclass(frozen=True)
class Made:
    """One variant: what it is, how it measured, and the gate's verdict; ``measured`` is None where none was made."""

    name: str
    method: str
    verdict: Verdict
    measured: Measured | None = None
    model: bytes = b""
    suffix: str = ".onnx"


@dataclass(frozen=True)
class _Form:
    """A variant that was made and is not measured yet."""

    name: str
    method: str
    model: bytes
    suffix: str = ".onnx"


@dataclass(frozen=True)
class Report:
    """``variants`` in the order made. ``kept``: names of those on the Pareto front that passed.

    ``layers``: the sensitivity of each layer, where it was looked at. ``judged``: how many samples judged.
    """

    source: Measured
    variants: tuple[Made, ...]
    kept: tuple[str, ...]
    layers: tuple[LayerError, ...]
    calibrated: int
    judged: int


def make_variants(
    file: ModelFile,
    samples: Samples,
    kind: Kind = "auto",
    *,
    limits: Limits | None = None,
    threads: int = 1,
    seconds: float = 1.5,
    progress: Progress = lambda *_: None,
) -> Report:
    """Make the variants of one ``kind``, or of all, and judge them; nothing is written.

    ``seconds`` of calls are timed for each. Raises ModelError for a model that cannot be read or run with the samples.
    """
    limits = limits or Limits()
    path = file.path
    calibrating, judging = (
        samples.rows(range(0, len(samples.calls), 2)),
        samples.rows(range(1, len(samples.calls), 2)),
    )
    made: list[_Form] = []
    refused: list[Made] = []
    layers: list[LayerError] = []
    if kind in ("auto", "float16"):
        _try(
            path,
            made,
            refused,
            "float16",
            "weights in half precision, widened at load",
            lambda: _running(file, float16(file.raw, path.name), calibrating.calls[0]),
        )
    if kind in ("auto", "dynamic"):
        _try(
            path,
            made,
            refused,
            "int8-dynamic",
            "matrix products with int8 weights",
            lambda: _running(file, dynamic(file.raw, path.name), calibrating.calls[0]),
        )
    if kind in ("auto", "static"):
        maker = _Static(file, calibrating.calls, limits, threads, progress)
        try:
            plan, model = maker.best()
            made.append(_Form("int8", str(plan), model))
            layers = maker.layers
        except ModelError as error:
            refused.append(Made("int8", "static int8", Verdict(False, (_reason(path, error),))))
        if "litert" in backends_for(Path("any.tflite")):
            progress("converting for LiteRT", 0, 1)
            _try(
                path,
                made,
                refused,
                "int8-litert",
                "static int8 by onnx2tf, on LiteRT",
                lambda: _litert(file, calibrating.calls[:_CONVERTED]),
                ".tflite",
            )
            progress("converting for LiteRT", 1, 1)
    source, measured = _measure(file, made, judging, threads, seconds, progress)
    variants = [
        Made(each.name, each.method, judge(each, source, limits), each, form.model, form.suffix)
        for each, form in zip(measured, made, strict=True)
    ]
    passed = [each.measured for each in variants if each.verdict.passed and each.measured is not None]
    kept = tuple(each.name for each in pareto([source, *passed]) if each is not source)
    return Report(
        source, (*variants, *refused), kept, tuple(layers), len(calibrating.calls), len(judging.calls)
    )


def write_variant(variant: Made, report: Report, file: ModelFile, samples: Samples, folder: Path) -> Path:
    """Write a variant with its card and golden vectors into ``folder`` and return the model's path.

    The card says what it was derived from and how it measured; figures of the source are not taken over. The golden
    vectors are the variant's own answers, which another engine or processor must come near.
    """
    path = file.path
    if variant.measured is None:
        raise ModelError(f"{path}: there is no variant {variant.name} to write")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{path.stem}-{variant.name}{variant.suffix}"
    write_whole(target, variant.model)
    command = f"edgeai model quantize {path.name} --data {samples.origin}"
    found, judged = variant.measured, report.judged
    figures = {
        "time_ratio": CardFigure(
            found.ratio, judged, command, note="time over the source's, in turns, this machine"
        ),
        "size_ratio": CardFigure(
            found.size_bytes / report.source.size_bytes, 1, command, note="size over the source's"
        ),
        "relative_error": CardFigure(
            found.faithfulness.error, judged, command, note="worst output, of its spread"
        ),
    }
    for name, figure in (
        ("agreement", found.faithfulness.agreement),
        ("accuracy", found.faithfulness.accuracy),
        ("source_accuracy", found.faithfulness.source_accuracy),
    ):
        if figure is not None and figure.value is not None:
            figures[name] = CardFigure.of(figure, command)
    card = dataclasses.replace(
        file.card,
        name=f"{file.card.name}-{variant.name}",
        file=target.name,
        digest=digest_of(target),
        golden=None,
        source="",
        figures=figures,
        limits=(*file.card.limits, f"Derived from {file.card.name} {file.card.version}: {variant.method}."),
        parameters={
            **file.card.parameters,
            "derived_from": file.card.digest,
            "derived_method": variant.method,
            "calibration_digest": samples.digest,
            "calibration_samples": report.calibrated,
        },
    )
    vectors = _golden(target, card, file)
    peak = max(float(np.abs(array).max(initial=0.0)) for each in vectors for array in each.outputs.values())
    golden = write_golden(folder / f"{target.stem}.golden.npz", vectors, atol=max(0.1 * peak, 1e-3), rtol=0.1)
    write_card(dataclasses.replace(card, golden=golden), card_path(target))
    open_runner(target, backend=backends_for(target)[0])  # it must pass its own golden vectors
    return target


class _Static:
    """Finds the best int8 variant on the calibration samples alone."""

    def __init__(
        self, file: ModelFile, calls: Sequence[Sample], limits: Limits, threads: int, progress: Progress
    ) -> None:
        self.file, self.limits, self.threads, self.progress = file, limits, threads, progress
        held = [place for place in range(len(calls)) if place % 3 == 2]
        self.fitted = [calls[place] for place in range(len(calls)) if place % 3 != 2]
        self.held = [calls[place] for place in held]
        self.quantiser = Quantiser(file.raw, self.fitted, file.path.name)
        self.wanted = self.run(file.raw, self.held)
        self.layers: list[LayerError] = []

    def run(self, model: bytes, samples: Sequence[Sample]) -> Outputs:
        """Return what a model says of samples, as it will run here."""
        return run_all(self.file, model, samples, self.threads)

    def best(self) -> tuple[Plan, bytes]:
        """Return the first plan with a clear margin: the best ranges, then its ends in float, then by sensitivity.

        Ends: the first layer and the last, then the first four and the last; they are a small part of the time and
        most of the error of many networks. Without any clear plan it is the one with the least error.
        """
        plans = [*(Plan(method) for method in METHODS), Plan(rounding="reduced")]
        tried: list[tuple[float, Plan, bytes]] = []
        failed = ModelError(f"{self.file.path}: no method could quantise it")
        for number, plan in enumerate(plans):
            self.progress("calibrating", number, len(plans))
            try:
                tried.append(self._tried(plan))
            except ModelError as error:  # histograms cannot hold activations that never vary; extremes can
                failed = error
        self.progress("calibrating", len(plans), len(plans))
        if not tried:
            raise failed
        best = min(tried, key=lambda each: each[0])
        if self._clear(best):
            return best[1:]
        nodes = self.quantiser.weighed()
        for ends in ([*nodes[:1], *nodes[-1:]], [*nodes[:4], *nodes[-1:]]):
            if 2 * len(ends) <= len(nodes):
                tried.append(self._tried(dataclasses.replace(best[1], left_out=frozenset(ends))))
                if self._clear(tried[-1]):
                    return tried[-1][1:]
        self.layers = rank_layers(self.quantiser, best[1], self.held, self.run, self.wanted, self.progress)
        order = [each.node for each in self.layers]
        for count in steps(len(order)):
            tried.append(self._tried(dataclasses.replace(best[1], left_out=frozenset(order[:count]))))
            if self._clear(tried[-1]):
                return tried[-1][1:]
        return min(tried, key=lambda each: each[0])[1:]

    def _tried(self, plan: Plan) -> tuple[float, Plan, bytes]:
        model = self.quantiser.static(plan)
        return relative_error(self.run(model, self.held), self.wanted), plan, model

    def _clear(self, tried: tuple[float, Plan, bytes]) -> bool:
        """Whether it passes with a margin: few samples cannot tell a per cent of agreement, but they tell the error."""
        error, _, model = tried
        found = compare(self.run(model, self.held), self.wanted, self.file.card)
        agreement = None if found.agreement is None else found.agreement.value
        return error <= _MARGIN * self.limits.error and (
            agreement is None or agreement >= 1 - self.limits.drop
        )


def run_all(file: ModelFile, model: bytes, samples: Sequence[Sample], threads: int = 1) -> Outputs:
    """Return what ``model``, with the inputs and outputs of ``file``'s card, says of each sample. Raises ModelError."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4
    names = [spec.name for spec in file.card.outputs]
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return [dict(zip(names, session.run(names, dict(sample)), strict=True)) for sample in samples]
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(f"{file.path}: fails on the samples: {reason[:300]}") from error


def _measure(
    file: ModelFile, made: Sequence[_Form], judging: Samples, threads: int, seconds: float,
    progress: Progress,
) -> tuple[Measured, list[Measured]]:  # fmt: skip
    """Run all on the judging samples, time them in turns, and weigh each in a process of its own."""
    forms = [_Form(SOURCE, "as it came", file.raw), *made]
    with TemporaryDirectory(prefix="edgeai-variants-") as folder:
        runners, memory = {}, {}
        for number, form in enumerate(forms):
            path = _written(form, file, Path(folder))
            backend = backends_for(path)[0]
            runners[form.name] = open_runner(path, backend=backend, threads=threads)
            apart = measure_apart(path, backend=backend, threads=threads, seconds=0.1)
            memory[form.name] = apart.memory_mib
            progress("loading each", number + 1, len(forms))
        first = judging.calls[0]
        times = interleaved(
            {name: lambda runner=runner: runner.run(first) for name, runner in runners.items()},  # type: ignore[misc]
            seconds * len(forms),
            _ROUNDS,
            report=lambda share: progress("timing in turns", round(100 * share), 100),
        )
        relative = ratios(times, SOURCE)
        said = {name: [runner.run(sample) for sample in judging.calls] for name, runner in runners.items()}
    found = [
        Measured(
            form.name,
            form.method,
            len(form.model),
            float(np.median(times[form.name])) / 1e6,
            relative[form.name],
            compare(said[form.name], said[SOURCE], file.card, judging.labels),
            memory[form.name],
        )
        for form in forms
    ]
    return found[0], found[1:]


def _written(form: _Form, file: ModelFile, folder: Path) -> Path:
    path = folder / f"{form.name}{form.suffix}"
    path.write_bytes(form.model)
    card = dataclasses.replace(file.card, file=path.name, digest=digest_of(path), golden=None)
    write_card(card, card_path(path))
    return path


def _running(file: ModelFile, model: bytes, call: Sample) -> bytes:
    """Return a variant that answers a call. Raises ModelError for one that does not: tools make such, too."""
    run_all(file, model, [call])
    return model


def _litert(file: ModelFile, calls: Sequence[Sample]) -> bytes:
    """Return an int8 ``.tflite`` that LiteRT runs. Raises ModelError where the tool chain makes none."""
    model = convert_to_tflite(file, calls)
    with TemporaryDirectory(prefix="edgeai-variants-") as folder:
        path = _written(_Form("int8-litert", "", model, ".tflite"), file, Path(folder))
        open_runner(path, backend="litert").run(calls[0])
    return model


def _try(
    path: Path,
    made: list[_Form],
    refused: list[Made],
    name: str,
    method: str,
    make: Callable[[], bytes],
    suffix: str = ".onnx",
) -> None:
    try:
        made.append(_Form(name, method, make(), suffix))
    except ModelError as error:
        refused.append(Made(name, method, Verdict(False, (_reason(path, error),))))


def _reason(path: Path, error: ModelError) -> str:
    return str(error).removeprefix(f"{path}: ").removeprefix(f"{path.name}: ")


def _golden(target: Path, card: ModelCard, source: ModelFile) -> list[GoldenVector]:
    calls = [vector.inputs for vector in source.golden()] or [noise(card.inputs, seed) for seed in (0, 1)]
    runner = open_runner(target, card, backend=backends_for(target)[0])
    return [GoldenVector(call, runner.run(call)) for call in calls[:2]]
