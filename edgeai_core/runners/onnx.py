"""The ONNX Runtime runner on the CPU: loads only what its card vouches for, and spends no core on waiting."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgeai_core.errors import ModelError
from edgeai_core.runners.budget import thread_budget
from edgeai_core.runners.card import ModelCard, TensorSpec, card_path, read_card, read_limited
from edgeai_core.runners.golden import check_golden, read_golden
from edgeai_core.runners.weights import keeps_weights_outside

MAX_MODEL_BYTES = 1 << 30

Optimisation = Literal["none", "basic", "extended", "all"]
"""How far the graph is rewritten at load: ``all`` also changes memory layouts for this processor."""

_DTYPES = {
    "tensor(bool)": "bool",
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


@dataclass(frozen=True)
class _Wanted:
    """An input in the form that is quick to check."""

    name: str
    dtype: np.dtype[Any]
    rank: int
    fixed: tuple[tuple[int, int], ...]


class OnnxRunner:
    """A model file as a function. Safe to call from several threads.

    ``card`` is the card, or where it lies; without it ``<stem>.card.toml`` beside the model is read.
    ``threads`` is what one call may use, cut to the budget of the device; the default of 1 makes no thread.
    ``memory_arena`` keeps freed memory for the next call, ``memory_pattern`` plans it in one block: both buy
    time for large models with memory, and are off. ``allow_spinning`` lets idle threads burn their cores.
    ``warm_up`` calls are made at load, with a golden vector where there is one, else with zeros, in which
    dimensions that may vary are 1.

    Loading reads the file once: what is checked against the card's digest is what runs. Weights outside the
    file are refused, for the digest does not cover them. Then shapes and dtypes are held against the card,
    and the golden vectors are run.

    Raises ModelError, which names the file, for all of that, and where onnxruntime does not import.
    """

    def __init__(
        self,
        model: Path,
        card: ModelCard | Path | None = None,
        *,
        threads: int = 1,
        optimisation: Optimisation = "all",
        memory_arena: bool = False,
        memory_pattern: bool = False,
        allow_spinning: bool = False,
        warm_up: int = 1,
        max_bytes: int = MAX_MODEL_BYTES,
    ) -> None:
        if threads < 1:
            raise ModelError(f"{model}: a runner needs at least one thread, not {threads}")
        self.model = model
        self.threads = min(threads, thread_budget())
        raw = read_limited(model, max_bytes, "model")
        path = card if isinstance(card, Path) else card_path(model)
        self.card = card if isinstance(card, ModelCard) else read_card(path)
        _check_file(model, raw, self.card)
        self._session = _open_session(
            model, raw, self.threads, optimisation, memory_arena, memory_pattern, allow_spinning
        )
        del raw
        _check_tensors(model, "input", self._session.get_inputs(), self.card.inputs)
        _check_tensors(model, "output", self._session.get_outputs(), self.card.outputs)
        self._wanted = tuple(_wanted(spec) for spec in self.card.inputs)
        self._tied = _tied_dimensions(self.card.inputs)
        self._outputs = [spec.name for spec in self.card.outputs]
        first = {spec.name: _zeros(spec) for spec in self.card.inputs}
        if self.card.golden is not None:
            vectors = read_golden(path.with_name(self.card.golden.file), self.card.golden)
            check_golden(self, vectors, self.card.golden)
            first = dict(vectors[0].inputs)
        for _ in range(warm_up):
            self.run(first)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return every output by name, in the card's order.

        Raises ModelError that says what came and what is wanted, and where the engine fails.
        """
        if not self._fits(inputs):
            raise ModelError(f"{self.model}: {_refusal(inputs, self.card.inputs)}")
        try:
            return dict(zip(self._outputs, self._session.run(self._outputs, inputs), strict=True))
        except Exception as error:
            raise ModelError(f"{self.model}: the model failed while it ran: {_first_line(error)}") from error

    def _fits(self, inputs: Mapping[str, np.ndarray]) -> bool:
        if len(inputs) != len(self._wanted):
            return False
        for wanted in self._wanted:
            array = inputs.get(wanted.name)
            if not isinstance(array, np.ndarray) or array.dtype != wanted.dtype or array.ndim != wanted.rank:
                return False
            shape = array.shape
            for axis, size in wanted.fixed:
                if shape[axis] != size:
                    return False
        return all(len({inputs[name].shape[axis] for name, axis in places}) == 1 for places in self._tied)


def _open_session(
    model: Path,
    raw: bytes,
    threads: int,
    optimisation: Optimisation,
    memory_arena: bool,
    memory_pattern: bool,
    allow_spinning: bool,
) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            f"{model}: onnxruntime does not import on this machine: {_first_line(error)}; `edgeai doctor` says more"
        ) from error
    level = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors come as exceptions; nothing else belongs on standard error
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.enable_cpu_mem_arena = memory_arena
    options.enable_mem_pattern = memory_pattern
    options.graph_optimization_level = {
        "none": level.ORT_DISABLE_ALL,
        "basic": level.ORT_ENABLE_BASIC,
        "extended": level.ORT_ENABLE_EXTENDED,
        "all": level.ORT_ENABLE_ALL,
    }[optimisation]
    entries = {
        "session.intra_op.allow_spinning": "1" if allow_spinning else "0",
        "session.inter_op.allow_spinning": "1" if allow_spinning else "0",
        "session.use_device_allocator_for_initializers": "1",  # weights outside the arena, without its slack
        "session.load_model_format": "ONNX",  # nothing else is looked into before it is loaded
    }
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    try:
        return onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"{model}: onnxruntime cannot load the model: {_first_line(error)}") from error


def _check_file(model: Path, raw: bytes, card: ModelCard) -> None:
    if card.file != model.name:
        raise ModelError(f"{model}: the card is of the file {card.file!r}")
    digest = hashlib.sha256(raw).hexdigest()
    if digest != card.digest:
        raise ModelError(
            f"{model}: this is not the file of its card, model {card.name} {card.version}: its SHA-256 is "
            f"{digest}, the card's {card.digest}; take model and card from the same place"
        )
    try:
        outside = keeps_weights_outside(raw)
    except ValueError as error:
        raise ModelError(f"{model}: the model is corrupt: {error}") from error
    if outside:
        raise ModelError(
            f"{model}: the model keeps weights in another file, which the card's digest does not cover; "
            f"export it as one file"
        )


def _check_tensors(model: Path, side: str, found: Any, specs: tuple[TensorSpec, ...]) -> None:
    nodes = {node.name: node for node in found}
    if nodes.keys() != {spec.name for spec in specs}:
        raise ModelError(
            f"{model}: the model's {side}s are {sorted(nodes)}, the card's {sorted(s.name for s in specs)}"
        )
    for spec in specs:
        node = nodes[spec.name]
        shape = tuple(size if isinstance(size, int) else "varies" for size in node.shape)
        stated = tuple(size if isinstance(size, int) else "varies" for size in spec.shape)
        dtype = _DTYPES.get(node.type, node.type)
        if shape != stated or dtype != spec.dtype:
            sizes = ", ".join(map(str, node.shape))
            raise ModelError(
                f"{model}: the model's {side} is {spec.name} {dtype}[{sizes}], the card's {spec}"
            )


def _wanted(spec: TensorSpec) -> _Wanted:
    fixed = tuple((axis, size) for axis, size in enumerate(spec.shape) if isinstance(size, int))
    return _Wanted(spec.name, np.dtype(spec.dtype), len(spec.shape), fixed)


def _tied_dimensions(specs: tuple[TensorSpec, ...]) -> tuple[tuple[tuple[str, int], ...], ...]:
    """Return the places, as (input, axis), of each dimension's name that stands in more than one place."""
    places: dict[str, list[tuple[str, int]]] = {}
    for spec in specs:
        for axis, size in enumerate(spec.shape):
            if isinstance(size, str):
                places.setdefault(size, []).append((spec.name, axis))
    return tuple(tuple(at) for at in places.values() if len(at) > 1)


def _zeros(spec: TensorSpec) -> np.ndarray:
    return np.zeros([size if isinstance(size, int) else 1 for size in spec.shape], spec.dtype)


def _refusal(inputs: Mapping[str, object], specs: tuple[TensorSpec, ...]) -> str:
    came = ", ".join(
        f"{name} {value.dtype}[{', '.join(map(str, value.shape))}]"
        if isinstance(value, np.ndarray)
        else f"{name} of type {type(value).__name__}"
        for name, value in inputs.items()
    )
    return f"inputs are {came or 'none'} where the card wants {', '.join(map(str, specs))}"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
