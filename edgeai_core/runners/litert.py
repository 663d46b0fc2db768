"""The LiteRT runner: ``.tflite`` files on the CPU, or on a Coral Edge TPU (extra ``litert``)."""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgeai_core.errors import MissingExtraError, ModelError, first_line
from edgeai_core.runners.budget import thread_budget
from edgeai_core.runners.card import ModelCard, TensorSpec
from edgeai_core.runners.model_file import MAX_MODEL_BYTES, prove, read_model_file
from edgeai_core.runners.runner import EngineDescription
from edgeai_core.runners.tensors import VARIES, Found, InputCheck, check_tensors

CORAL_LIBRARY = "libedgetpu.so.1"
"""The Edge TPU's delegate, from Coral's package ``libedgetpu1-std``."""

_log = logging.getLogger("edgeai.runners")


class LiteRtRunner:
    """A ``.tflite`` model as a function. Calls from several threads take turns: one interpreter has one memory.

    Tensors go by the names of the model's signature, else by their own. ``device`` "Coral" hands the model to the
    Edge TPU; where its library or the TPU is not there the CPU runs it, with a warning in the log and the reason
    in ``description.fallback``. Dimensions that the card says may vary are set at each call that changes them.
    Where the model takes or gives int8 with a scale, and the card says float32, numbers are converted on the way.

    Raises ModelError as the ONNX runner does, and MissingExtraError where LiteRT is not installed.
    """

    def __init__(
        self,
        model: Path,
        card: ModelCard | Path | None = None,
        *,
        threads: int = 1,
        device: Literal["CPU", "Coral"] = "CPU",
        warm_up: int = 1,
        max_bytes: int = MAX_MODEL_BYTES,
    ) -> None:
        if threads < 1:
            raise ModelError(f"{model}: a runner needs at least one thread, not {threads}")
        self.model = model
        self.threads = min(threads, thread_budget())
        file = read_model_file(model, card, max_bytes)
        self.card = file.card
        interpreter, fallback = _open(_engine(model), model, file.raw, self.threads, device)
        self._interpreter = interpreter
        self._lock = threading.Lock()
        used = "CPU" if fallback else device
        self.description = EngineDescription(
            "litert" if used == "CPU" else "coral", "LiteRT", version("ai-edge-litert"), used, self.threads, fallback
        )  # fmt: skip
        inputs, outputs = _named(interpreter)
        self._scaled = _scales(inputs, self.card.inputs) | _scales(outputs, self.card.outputs)
        check_tensors(model, "input", self._seen(inputs), self.card.inputs, exact=False)
        check_tensors(model, "output", self._seen(outputs, shapes=False), self.card.outputs, exact=False)
        self._inputs = {name: int(detail["index"]) for name, detail in inputs.items()}
        self._outputs = [(spec.name, int(outputs[spec.name]["index"])) for spec in self.card.outputs]
        self._shapes = {name: tuple(int(n) for n in detail["shape"]) for name, detail in inputs.items()}
        self._check = InputCheck(self.card.inputs)
        prove(self, file, warm_up)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return every output by name, in the card's order.

        Raises ModelError that says what came and what is wanted, and where the engine fails.
        """
        if not self._check.fits(inputs):
            raise ModelError(f"{self.model}: {self._check.refusal(inputs)}")
        try:
            with self._lock:
                self._resize(inputs)
                for name, index in self._inputs.items():
                    scale = self._scaled.get(index)
                    self._interpreter.set_tensor(
                        index, inputs[name] if scale is None else scale.whole(inputs[name])
                    )
                self._interpreter.invoke()
                found = {}
                for name, index in self._outputs:
                    scale = self._scaled.get(index)
                    told = self._interpreter.get_tensor(index)
                    found[name] = told if scale is None else scale.real(told)
                return found
        except Exception as error:
            raise ModelError(f"{self.model}: the model failed while it ran: {first_line(error)}") from error

    def _seen(self, details: Mapping[str, Any], *, shapes: bool = True) -> dict[str, Found]:
        """Return the engine's tensors as a caller meets them."""
        found = _found(details, shapes=shapes)
        scaled = {name for name, detail in details.items() if int(detail["index"]) in self._scaled}
        return {
            name: replace(each, dtype="float32") if name in scaled else each for name, each in found.items()
        }

    def _resize(self, inputs: Mapping[str, np.ndarray]) -> None:
        shapes = {name: inputs[name].shape for name in self._shapes}
        if shapes != self._shapes:
            self._shapes = {}  # until all is allocated anew, none is what the interpreter has
            for name, shape in shapes.items():
                self._interpreter.resize_tensor_input(self._inputs[name], shape)
            self._interpreter.allocate_tensors()
            self._shapes = shapes


@dataclass(frozen=True)
class _Scale:
    """How whole numbers of ``dtype`` stand for real ones: ``real = (whole - zero) * step``."""

    dtype: np.dtype[Any]
    step: float
    zero: int

    def whole(self, real: np.ndarray) -> np.ndarray:
        """Return float32 as the model takes it; what is beyond its range is at its end."""
        limits = np.iinfo(self.dtype)
        rounded = np.rint(real / np.float32(self.step)) + self.zero
        return np.asarray(np.clip(rounded, limits.min, limits.max), dtype=self.dtype)

    def real(self, whole: np.ndarray) -> np.ndarray:
        """Return what the model gives as float32."""
        return np.asarray((whole.astype(np.float32) - self.zero) * np.float32(self.step), dtype=np.float32)


def open_bare(model: Path, raw: bytes) -> tuple[dict[str, Found], dict[str, Found]]:
    """Return inputs and outputs of a model as LiteRT tells them, for a file without a card."""
    interpreter, _ = _open(_engine(model), model, raw, 1, "CPU")
    inputs, outputs = _named(interpreter)
    return _found(inputs), _found(outputs)


def _engine(model: Path) -> Any:
    try:
        from ai_edge_litert import interpreter
    except ImportError as error:
        raise MissingExtraError(
            f"{model}: LiteRT does not import ({first_line(error)}); pip install 'edgeai[litert]'"
        ) from error
    return interpreter


def _open(litert: Any, model: Path, raw: bytes, threads: int, device: str) -> tuple[Any, str]:
    """Return the interpreter, and why it runs on the CPU where the Edge TPU was asked for."""
    if raw[4:8] != b"TFL3":
        raise ModelError(f"{model}: is no .tflite model (its identifier is {raw[4:8]!r}, not b'TFL3')")
    fallback = ""
    if device == "Coral":
        try:
            ctypes.CDLL(CORAL_LIBRARY)  # of a library that is not there load_delegate leaves half an object
            delegate = litert.load_delegate(CORAL_LIBRARY)
            return _interpreter(litert, model, raw, threads, [delegate]), ""
        except (OSError, ValueError) as error:
            fallback = f"the Edge TPU cannot be used: {first_line(error) or 'no device'}"
            _log.warning("%s: %s; the model runs on the CPU instead", model, fallback)
    return _interpreter(litert, model, raw, threads, None), fallback


def _interpreter(litert: Any, model: Path, raw: bytes, threads: int, delegates: list[Any] | None) -> Any:
    try:
        made = litert.Interpreter(model_content=raw, num_threads=threads, experimental_delegates=delegates)
        made.allocate_tensors()
    except Exception as error:
        if delegates:
            raise
        raise ModelError(f"{model}: LiteRT cannot load the model: {first_line(error)}") from error
    return made


def _scales(details: Mapping[str, Any], specs: Sequence[TensorSpec]) -> dict[int, _Scale]:
    """Return, by index, the scales of the tensors that are whole numbers where the card says float32."""
    wanted = {spec.name for spec in specs if spec.dtype == "float32"}
    found = {}
    for name in wanted & details.keys():
        dtype, (step, zero) = np.dtype(details[name]["dtype"]), details[name]["quantization"]
        if dtype.kind in "iu" and step > 0:
            found[int(details[name]["index"])] = _Scale(dtype, float(step), int(zero))
    return found


def _named(interpreter: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return inputs and outputs by the names of the first signature, else by the tensors' own."""
    inputs = {detail["name"]: detail for detail in interpreter.get_input_details()}
    outputs = {detail["name"]: detail for detail in interpreter.get_output_details()}
    for signature in interpreter._get_full_signature_list().values():
        by_index = {detail["index"]: detail for detail in (*inputs.values(), *outputs.values())}
        if set(signature["inputs"].values()) | set(signature["outputs"].values()) == set(by_index):
            return (
                {name: by_index[index] for name, index in signature["inputs"].items()},
                {name: by_index[index] for name, index in signature["outputs"].items()},
            )
    return inputs, outputs


def _found(details: Mapping[str, Any], *, shapes: bool = True) -> dict[str, Found]:
    """Return the engine's tensors; without ``shapes`` only their ranks: an output's is known once it was run."""
    return {
        name: Found(
            np.dtype(detail["dtype"]).name,
            tuple(int(n) if shapes and n >= 0 else VARIES for n in detail["shape_signature"]),
        )
        for name, detail in details.items()
    }
