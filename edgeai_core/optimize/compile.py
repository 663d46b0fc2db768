"""A model made into what a board runs: the steps that this machine can do, and exactly what is missing for the rest."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_core.arrayfile import read_npz
from edgeai_core.errors import InputError, MissingExtraError, ModelError, first_line
from edgeai_core.optimize.profiles import Profile
from edgeai_core.optimize.samples import FEWEST
from edgeai_core.optimize.vendor import CONVERTER, convert_to_tflite, missing, run_command
from edgeai_core.runners.card import (
    ModelCard,
    TensorSpec,
    Weights,
    card_path,
    digest_of,
    read_card,
    write_card,
    write_whole,
)
from edgeai_core.runners.model_file import ModelFile, read_model_file
from edgeai_core.runners.onnx import OnnxRunner
from edgeai_core.runners.open import open_runner
from edgeai_core.runners.tensors import noise

Report = Callable[[str, int, int], None]
Sample = Mapping[str, np.ndarray]

MAX_SAMPLES_BYTES = 2 << 30


@dataclass(frozen=True)
class Step:
    """One thing that was done, with how far its result lies from the source's answers: relative to the largest."""

    what: str
    file: str = ""
    difference: float | None = None


@dataclass
class Compiled:
    """What was made for a board: the files, the steps, what is missing, and what to run there."""

    target: str
    folder: Path
    files: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    run_there: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self) | {"folder": str(self.folder)}


def compile_model(
    model: Path,
    card: Path,
    board: Profile,
    folder: Path,
    samples: Sequence[Sample] = (),
    report: Report = lambda what, done, total: None,
) -> Compiled:
    """Make what ``board`` runs of an ONNX model, in ``folder``, each file with its card and proved against its source.

    ``samples`` are calls of the model, for int8: without them int8 is missing, and what can be made is made in
    float. The vendor's compiler runs where it is installed. Raises ModelError where the model cannot be read, where
    the board has no room for it, and where what was made disagrees with its source.
    """
    if model.suffix != ".onnx":
        raise ModelError(f"{model}: is a {model.suffix} file; boards are compiled for from the .onnx")
    file = read_model_file(model, card)
    if len(file.raw) >> 20 > board.limit_mib:
        raise ModelError(
            f"{model}: has {len(file.raw) >> 20} MiB; a model may have {board.limit_mib} on {board.title}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror}") from error
    done = Compiled(board.name, folder)
    proof = list(samples[:8]) or [vector.inputs for vector in file.golden()] or [noise(file.card.inputs)]
    source = OnnxRunner(model, file.card)
    maker = _Maker(file, board, done, proof, [source.run(inputs) for inputs in proof], list(samples), report)
    {"onnx": maker.onnx, "openvino": maker.openvino, "tflite": maker.tflite}[board.form]()
    report("compiling", 1, 1)
    return done


def read_samples(path: Path, card: ModelCard) -> list[Sample]:
    """Read calls of a model from an ``.npz``: an array for each input by its name, samples along the first axis.

    Raises InputError that names the file and what is wrong with it, also for fewer than ``FEWEST`` samples.
    """
    arrays = read_npz(path, f"{path}: cannot be read as an .npz of arrays", MAX_SAMPLES_BYTES)
    names = [spec.name for spec in card.inputs]
    if sorted(arrays) != sorted(names):
        raise InputError(f"{path}: holds {sorted(arrays)}; the model's inputs are {sorted(names)}")
    counts = {len(array) if array.ndim else 0 for array in arrays.values()}
    if len(counts) > 1 or 0 in counts:
        raise InputError(f"{path}: needs the same number of samples, one or more, of every input")
    count = counts.pop()
    if count < FEWEST:
        raise InputError(
            f"{path}: a calibration set of {count}; the range of an activation is not told by fewer than {FEWEST} "
            "samples, and 100 or more are better"
        )
    made: list[Sample] = []
    for number in range(count):
        sample = {}
        for spec in card.inputs:
            one = np.ascontiguousarray(arrays[spec.name][number : number + 1])
            fits = one.ndim == len(spec.shape) and all(
                isinstance(n, str) or n == size for n, size in zip(spec.shape, one.shape, strict=True)
            )
            if not fits:
                raise InputError(
                    f"{path}: a sample of {spec.name} has shape {list(one.shape)}, the card says {spec}"
                )
            sample[spec.name] = one.astype(spec.dtype)
        made.append(sample)
    return made


@dataclass
class _Maker:
    """The steps, over one model and board."""

    file: ModelFile
    board: Profile
    done: Compiled
    proof: list[Sample]
    wanted: list[dict[str, np.ndarray]]
    samples: list[Sample]
    report: Report

    def onnx(self) -> None:
        """ONNX in the board's precision; for a Jetson an engine of TensorRT too."""
        stem = self.file.path.stem
        if self.board.precision == "int8":
            made = self._int8(stem)
            name = made.name if made is not None else self._plain(f"{stem}.float32.onnx")
        elif self.board.precision == "float16" and "TensorRT" in self.board.flags:
            name = self._plain(
                f"{stem}.onnx"
            )  # TensorRT takes float32 and chooses half precision layer by layer
            self._half(stem)
        else:
            name = self._plain(f"{stem}.onnx")
        self.done.run_there = f"edgeai model prepare {name}"
        if self.board.compiler == "trtexec":
            self._tensorrt(self.done.folder / name)

    def openvino(self) -> None:
        """OpenVINO's own form, for its tools; the engine itself takes the ONNX file as well."""
        name = self._plain(f"{self.file.path.stem}.onnx")
        self.done.run_there = f"edgeai model measure {name} --backend openvino"
        try:
            import openvino
        except ImportError as error:
            self.done.missing.append(f"OpenVINO ({first_line(error)}): pip install 'edgeai[openvino]'")
            return
        self.report("writing OpenVINO's form", 0, 1)
        out = self.done.folder / f"{self.file.path.stem}.openvino.xml"
        core = openvino.Core()
        try:
            openvino.save_model(core.read_model(self.done.folder / name), out, compress_to_fp16=False)
        except Exception as error:
            raise ModelError(
                f"{self.file.path}: OpenVINO cannot convert the model: {first_line(error)}"
            ) from error
        weights = out.with_suffix(".bin")
        write_card(
            replace(self._card(out), weights=Weights(weights.name, digest_of(weights))),
            card_path(out),
        )
        runner = open_runner(out, backend="openvino")
        got = [runner.run(inputs) for inputs in self.proof]
        self._proved("OpenVINO's form, float32 (.xml and .bin)", out, got, limit=1e-3)
        self.done.files.append(weights.name)
        self.done.run_there = f"edgeai model measure {out.name}"

    def tflite(self) -> None:
        """A .tflite file by onnx2tf, int8 where there are samples, then the Edge TPU's compiler."""
        plain = f"{self.file.path.stem}.onnx"
        if shutil.which(CONVERTER) is None:
            self.done.missing.append(missing(CONVERTER, "a .tflite file is made of the ONNX model by it"))
            self._missing_compiler("edgetpu_compiler")
            self._plain(plain)
            return
        if not self.samples:
            self.done.missing.append(
                "samples for int8: name an .npz of the model's inputs with --calibration"
            )
        kind = "int8" if self.samples else "float32"
        target = self.done.folder / f"{self.file.path.stem}.{kind}.tflite"
        self.report(f"running {CONVERTER}", 0, 1)
        try:
            write_whole(target, convert_to_tflite(self.file, self.samples))
        except (ModelError, MissingExtraError) as error:
            self.done.missing.append(f"a .tflite in {kind}: {error}")
            self._plain(plain)
            return
        if not self._prove_tflite(target):
            self._plain(plain)
            return
        self.done.run_there = f"EDGEAI_BACKEND=coral edgeai model measure {target.name}"
        if not self.samples:
            return  # the Edge TPU computes in int8 alone
        compiler = shutil.which("edgetpu_compiler")
        if compiler is None:
            self._missing_compiler("edgetpu_compiler")
            return
        self._run([compiler, "-s", "-o", str(self.done.folder), str(target)], cwd=self.done.folder)
        made = target.with_name(f"{target.stem}_edgetpu.tflite")
        write_card(
            replace(self._card(made), limits=(*self.file.card.limits, "Runs on an Edge TPU alone.")),
            card_path(made),
        )
        self._made("compiled for the Edge TPU by edgetpu_compiler", made, None)
        self.done.run_there = f"EDGEAI_BACKEND=coral edgeai model measure {made.name}"

    def _plain(self, name: str) -> str:
        path = self.done.folder / name
        write_whole(path, self.file.raw)
        card = replace(self.file.card, file=name, golden=None)
        write_card(card, card_path(path))
        self._made("ONNX as it is, float32", path, None)
        return name

    def _half(self, stem: str) -> None:
        from edgeai_core.optimize.quantize import float16

        path = self.done.folder / f"{stem}.float16.onnx"
        try:
            write_whole(path, float16(self.file.raw, self.file.path.name))
        except (MissingExtraError, ModelError) as error:
            self.done.missing.append(f"half precision: {error}")
            return
        self._prove_onnx("ONNX with float16 weights", path, limit=2e-2)

    def _int8(self, stem: str) -> Path | None:
        from edgeai_core.optimize.quantize import Plan, Quantiser

        if not self.samples:
            self.done.missing.append(
                "samples for int8: name an .npz of the model's inputs with --calibration"
            )
            return None
        self.report("quantising", 0, 1)
        path = self.done.folder / f"{stem}.int8.onnx"
        try:
            made = Quantiser(self.file.raw, self.samples, self.file.path.name).static(Plan())
        except MissingExtraError as error:
            self.done.missing.append(str(error))
            return None
        write_whole(path, made)
        self._prove_onnx("ONNX in int8 (QDQ, per channel)", path, limit=0.5)
        return path

    def _prove_onnx(self, what: str, path: Path, limit: float) -> None:
        write_card(self._card(path), card_path(path))
        runner = OnnxRunner(path)
        self._proved(what, path, [runner.run(inputs) for inputs in self.proof], limit)

    def _prove_tflite(self, path: Path) -> bool:
        """Return whether LiteRT runs the file; where it does not, that is what is missing."""
        write_card(self._card(path), card_path(path))
        what = ".tflite in int8" if self.samples else ".tflite in float32"
        try:
            runner = open_runner(path, backend="litert")
            got = [runner.run(inputs) for inputs in self.proof]
        except MissingExtraError as error:
            self.done.missing.append(f"a proof of {path.name}: {error}")
            self._made(f"{what}, not proved", path, None)
            return True
        except ModelError as error:
            for each in (path, card_path(path)):
                each.unlink(missing_ok=True)
            self.done.missing.append(
                f"a .tflite that runs: what onnx2tf made of this model does not ({error})"
            )
            return False
        self._proved(what, path, got, limit=0.5 if self.samples else 1e-3)
        return True

    def _proved(self, what: str, path: Path, got: Sequence[Mapping[str, np.ndarray]], limit: float) -> None:
        """Keep what agrees with its source; delete and refuse what does not."""
        worst = max(_difference(a, b) for a, b in zip(got, self.wanted, strict=True))
        if not worst <= limit:
            for each in (path, path.with_suffix(".bin"), card_path(path)):
                each.unlink(missing_ok=True)
            raise ModelError(
                f"{self.file.path}: {what} answers otherwise than its source: by {worst:.3g} of the largest output, "
                f"at most {limit:g} is let through; it was deleted"
            )
        self._made(what, path, worst)

    def _made(self, what: str, path: Path, difference: float | None) -> None:
        self.done.files.append(path.name)
        self.done.steps.append(Step(what, path.name, difference))

    def _card(self, path: Path) -> ModelCard:
        card = self.file.card
        what = f"Made for {self.board.title} of {card.file}, SHA-256 {card.digest}; figures are its source's."
        return replace(card, file=path.name, digest=digest_of(path), golden=None, limits=(*card.limits, what))

    def _tensorrt(self, path: Path) -> None:
        command = shutil.which("trtexec")
        card = read_card(card_path(path))
        free = [spec for spec in card.inputs if any(isinstance(size, str) for size in spec.shape)]
        argv = [f"--onnx={path.name}", f"--saveEngine={path.stem}.engine", "--skipInference"]
        argv += [f"--memPoolSize=workspace:{self.board.limit_mib // 2}"]
        argv += ["--fp16"] if self.board.precision == "float16" else []
        for which, batch in (("min", 1), ("opt", self.board.batch), ("max", self.board.batch)):
            if free:
                shapes = ",".join(f"{spec.name}:{_sizes(spec, batch)}" for spec in free)
                argv.append(f"--{which}Shapes={shapes}")
        self.done.run_there = " ".join(["trtexec", *argv])
        if command is None:
            self._missing_compiler("trtexec")
            return
        self._run([command, *argv], cwd=self.done.folder)
        self._made(
            "engine of TensorRT, for this machine alone", self.done.folder / f"{path.stem}.engine", None
        )

    def _missing_compiler(self, command: str) -> None:
        self.done.missing.append(missing(command, "the vendor's compiler"))

    def _run(self, argv: list[str], cwd: Path) -> None:
        name = Path(argv[0]).name
        self.report(f"running {name}", 0, 1)
        run_command(argv, cwd)
        self.report(f"running {name}", 1, 1)


def _sizes(spec: TensorSpec, batch: int) -> str:
    """Return a shape as trtexec takes it: the batch along a first axis that may vary, 1 along every other one."""
    free = [batch if axis == 0 else 1 for axis in range(len(spec.shape))]
    return "x".join(str(n if isinstance(n, int) else free[axis]) for axis, n in enumerate(spec.shape))


def _difference(got: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> float:
    """Return the largest difference of any output, relative to that output's largest value."""
    worst = 0.0
    for name, target in wanted.items():
        a, b = np.asarray(got[name], dtype=np.float64), np.asarray(target, dtype=np.float64)
        if a.shape != b.shape or not np.isfinite(a).all():
            return float("inf")
        if b.size:
            worst = max(worst, float(np.abs(a - b).max()) / max(float(np.abs(b).max()), 1e-12))
    return worst
