"""Commands of others that make a model's form for a device: run where they are installed, else what is missing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from edgeai_core.errors import ModelError
from edgeai_core.runners.model_file import ModelFile
from edgeai_core.runners.onnx import OnnxRunner

CONVERTER = "onnx2tf"

SOURCES = {
    "trtexec": "it comes with TensorRT, on a Jetson with JetPack, in /usr/src/tensorrt/bin; a TensorRT engine must be "
    "built on the board that runs it",
    "edgetpu_compiler": "Coral's apt repository has it for x86-64 Debian: apt install edgetpu-compiler",
    CONVERTER: "pip install onnx2tf ai-edge-litert, best in an environment of its own, its bin folder on the PATH",
}
"""Where a command that is missing is to be had."""

_COMPILER_S = 3600.0
_SAID = 400


def missing(command: str, what: str) -> str:
    """Say that a command is not there, what for, and where it is to be had."""
    return f"{command} is not on the PATH ({what}): {SOURCES[command]}"


def run_command(argv: Sequence[str], cwd: Path) -> None:
    """Run a compiler. Raises ModelError where it fails; its last words are the reason."""
    name = Path(argv[0]).name
    try:
        done = subprocess.run(
            argv, cwd=cwd, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
            timeout=_COMPILER_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{name} did not end within an hour") from error
    except OSError as error:
        raise ModelError(f"{name} cannot be run: {error.strerror}") from error
    if done.returncode:
        raise ModelError(f"{name} failed with exit code {done.returncode}: {_last_words(done)}")


def convert_to_tflite(file: ModelFile, samples: Sequence[Mapping[str, np.ndarray]]) -> bytes:
    """Return the ``.tflite`` that onnx2tf makes of an ONNX model: int8 where there are ``samples``, else float32.

    What may vary is fixed as the samples have it (else as the model's example) and constants are folded, without
    which onnx2tf cannot quantise most networks. Of int8, inputs and outputs become int8 too, which the runner converts.
    Raises ModelError, also where onnx2tf is not installed.
    """
    command = shutil.which(CONVERTER)
    if command is None:
        raise ModelError(missing(CONVERTER, "a .tflite file is made of the ONNX model by it"))
    names = [spec.name for spec in file.card.inputs]
    with TemporaryDirectory(prefix="edgeai-tflite-") as scratch:
        folder, out = Path(scratch), Path(scratch) / "made"
        source = folder / file.path.name
        source.write_bytes(_fixed(file, samples[0] if samples else file.example()))
        argv = [
            command, "-i", str(source), "-o", str(out), "-tb", "flatbuffer_direct", "-coion", "-n", "-kat", *names,
        ]  # fmt: skip
        if samples:
            argv += ["-oiqt"]
            for number, name in enumerate(names):
                stacked = folder / f"{number}.npy"
                np.save(stacked, np.concatenate([sample[name] for sample in samples]))
                argv += ["-cind", name, str(stacked), "0", "1"]
        run_command(argv, folder)
        endings = ("_full_integer_quant.tflite", "_integer_quant.tflite") if samples else ("_float32.tflite",)
        found = sorted(out.glob("*.tflite"))
        for ending in endings:
            for path in found:
                if path.name.endswith(ending):
                    return path.read_bytes()
    raise ModelError(
        f"{file.path}: onnx2tf wrote none of {', '.join(endings)}: {[path.name for path in found]}"
    )


def _fixed(file: ModelFile, sample: Mapping[str, np.ndarray]) -> bytes:
    from edgeai_core.optimize.quantize import onnx_or_explain, ready_model

    onnx = onnx_or_explain()
    model = onnx.load_model_from_string(file.raw)
    shapes = {
        name: array.shape
        for name, array in {**sample, **OnnxRunner(file.path, file.card).run(sample)}.items()
    }
    for tensor in (*model.graph.input, *model.graph.output):
        for size, wanted in zip(tensor.type.tensor_type.shape.dim, shapes[tensor.name], strict=True):
            size.dim_value = wanted
    del model.graph.value_info[:]
    return bytes(ready_model(model.SerializeToString(), file.path.name).SerializeToString())


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last line that names an error, else the last that was said."""
    said = done.stderr.strip() or done.stdout.strip()
    lines = [" ".join(line.split()) for line in said.splitlines() if line.strip()]
    named = [line for line in lines if "Error:" in line]
    return (named[:1] or lines[-1:] or ["it said nothing"])[0][-_SAID:]
