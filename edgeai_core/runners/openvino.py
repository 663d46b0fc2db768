"""The OpenVINO runner: ONNX files and OpenVINO's own form, on Intel's engine (extra ``openvino``)."""

from __future__ import annotations

import io
import queue
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_core.errors import MissingExtraError, ModelError, first_line
from edgeai_core.runners.budget import thread_budget
from edgeai_core.runners.card import ModelCard
from edgeai_core.runners.model_file import MAX_MODEL_BYTES, ModelFile, prove, read_model_file
from edgeai_core.runners.runner import EngineDescription
from edgeai_core.runners.tensors import Found, InputCheck, check_tensors

_DTYPES = {
    "boolean": "bool", "f16": "float16", "f32": "float32", "f64": "float64",
    **{f"u{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    **{f"i{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
}  # fmt: skip


class OpenVinoRunner:
    """A model, ``.onnx`` or ``.xml`` with its ``.bin``, as a function on OpenVINO.

    Safe to call from several threads: each call has a request of its own.

    ``threads`` as the ONNX runner has it. Computation keeps float32 where a processor could do with less, so that
    the golden vectors hold. ``cache`` is a folder where the compiled model is kept; with it a second load is
    quicker. Raises ModelError as the ONNX runner does, and MissingExtraError where OpenVINO is not installed.
    """

    def __init__(
        self,
        model: Path,
        card: ModelCard | Path | None = None,
        *,
        threads: int = 1,
        device: str = "CPU",
        cache: Path | None = None,
        warm_up: int = 1,
        max_bytes: int = MAX_MODEL_BYTES,
    ) -> None:
        if threads < 1:
            raise ModelError(f"{model}: a runner needs at least one thread, not {threads}")
        self.model = model
        self.threads = min(threads, thread_budget())
        file = read_model_file(model, card, max_bytes)
        self.card = file.card
        openvino = _engine(model)
        self._compiled = _compile(openvino, file, device, self.threads, cache)
        version = openvino.get_version().split("-")[0]
        self.description = EngineDescription("openvino", "OpenVINO", version, device, self.threads)
        inputs, outputs = self._compiled.inputs, self._compiled.outputs
        check_tensors(model, "input", _found(inputs, self.card.inputs), self.card.inputs, exact=False)
        check_tensors(model, "output", _found(outputs, self.card.outputs), self.card.outputs, exact=False)
        self._check = InputCheck(self.card.inputs)
        self._ports = [
            (spec.name, next(port for port in outputs if spec.name in port.get_names()))
            for spec in self.card.outputs
        ]
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        prove(self, file, warm_up)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return every output by name, in the card's order.

        Raises ModelError that says what came and what is wanted, and where the engine fails.
        """
        if not self._check.fits(inputs):
            raise ModelError(f"{self.model}: {self._check.refusal(inputs)}")
        try:
            request = self._idle.get_nowait()
        except queue.Empty:
            request = self._compiled.create_infer_request()
        try:
            results = request.infer(dict(inputs), share_inputs=True, share_outputs=True)
            return {name: np.array(results[port]) for name, port in self._ports}
        except Exception as error:
            raise ModelError(f"{self.model}: the model failed while it ran: {first_line(error)}") from error
        finally:
            self._idle.put(request)


def _engine(model: Path) -> Any:
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError(
            f"{model}: OpenVINO does not import ({first_line(error)}); pip install 'edgeai[openvino]'"
        ) from error
    return openvino


def open_bare(model: Path, raw: bytes, weights: bytes) -> tuple[dict[str, Found], dict[str, Found]]:
    """Return inputs and outputs of a model as OpenVINO tells them, for a file without a card."""
    read = _read(_engine(model).Core(), model, raw, weights)
    return _found(read.inputs, ()), _found(read.outputs, ())


def _read(core: Any, path: Path, raw: bytes, weights: bytes) -> Any:
    try:
        return core.read_model(raw, weights) if path.suffix == ".xml" else core.read_model(io.BytesIO(raw))
    except Exception as error:
        raise ModelError(f"{path}: OpenVINO cannot load the model: {_reason(error)}") from error


def _compile(openvino: Any, file: ModelFile, device: str, threads: int, cache: Path | None) -> Any:
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    if device == "CPU":
        settings |= {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}
    if cache is not None:
        settings["CACHE_DIR"] = str(cache)
    core = openvino.Core()
    read = _read(core, file.path, file.raw, file.weights)
    try:
        return core.compile_model(read, device, settings)
    except Exception as error:
        raise ModelError(f"{file.path}: OpenVINO cannot load the model: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return the line of an exception that says what is wrong: the first ones say where in OpenVINO."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    summed_up = [line.removeprefix("-- ") for line in told if line.startswith("-- ")]
    if summed_up:  # a list of what could not be converted, under lines that say only that something could not
        return summed_up[0][:300]
    return (told or lines or [type(error).__name__])[0][:300]


def _found(ports: Any, specs: Any) -> dict[str, Found]:
    """Return the engine's tensors; one tensor may have several names: the card's is taken where it is among them."""
    stated = {spec.name for spec in specs}
    found = {}
    for port in ports:
        names = port.get_names()
        name = next(iter(sorted(names & stated)), None) or next(iter(sorted(names)), "without a name")
        shape = tuple(size.get_length() if size.is_static else "varies" for size in port.get_partial_shape())
        found[name] = Found(_DTYPES.get(port.get_element_type().get_type_name(), "?"), shape)
    return found
