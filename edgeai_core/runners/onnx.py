"""The ONNX Runtime runner: loads only what its card vouches for, and spends no core on waiting."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgeai_core.errors import ModelError, first_line
from edgeai_core.runners.budget import thread_budget
from edgeai_core.runners.card import ModelCard
from edgeai_core.runners.model_file import MAX_MODEL_BYTES, prove, read_model_file
from edgeai_core.runners.runner import EngineDescription
from edgeai_core.runners.tensors import Found, InputCheck, check_tensors

Optimisation = Literal["none", "basic", "extended", "all"]
"""How far the graph is rewritten at load: ``all`` also changes memory layouts for this processor."""

Provider = Literal["cpu", "cuda", "tensorrt", "openvino"]
"""What onnxruntime hands the graph to; what a provider cannot run, the next one does, the CPU last."""

_log = logging.getLogger("edgeai.runners")

_DTYPES = {
    "tensor(bool)": "bool",
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}

_CHAINS: dict[Provider, tuple[str, ...]] = {
    "cpu": (),
    "cuda": ("CUDAExecutionProvider",),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider"),
    "openvino": ("OpenVINOExecutionProvider",),
}
_DEVICES: dict[Provider, str] = {"cpu": "CPU", "cuda": "CUDA", "tensorrt": "TensorRT", "openvino": "OpenVINO"}
_BACKENDS: dict[Provider, str] = {
    "cpu": "onnx", "cuda": "cuda", "tensorrt": "tensorrt", "openvino": "onnx-openvino"
}  # fmt: skip


class OnnxRunner:
    """A model file as a function. Safe to call from several threads.

    ``card`` is the card, or where it lies; without it ``<stem>.card.toml`` beside the model is read.
    ``threads`` is what one call may use, cut to the budget of the device; the default of 1 makes no thread.
    ``memory_arena`` keeps freed memory for the next call, ``memory_pattern`` plans it in one block: both buy
    time for large models with memory, and are off. ``allow_spinning`` lets idle threads burn their cores.
    ``warm_up`` calls are made at load, with a golden vector where there is one, else with zeros, in which
    dimensions that may vary are 1.

    ``provider`` is what runs the graph. Where it cannot be had the CPU does, with a warning in the log and the
    reason in ``description.fallback``. ``cache`` is a folder where a provider that compiles (TensorRT, OpenVINO)
    keeps what it made; without one it compiles at every load.

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
        provider: Provider = "cpu",
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
        onnxruntime = _engine(model)
        options = _options(
            onnxruntime, self.threads, optimisation, memory_arena, memory_pattern, allow_spinning
        )
        self._session, fallback = _open_session(onnxruntime, model, file.raw, options, provider, cache)
        used = "cpu" if fallback else provider
        self.description = EngineDescription(
            _BACKENDS[used], "onnxruntime", onnxruntime.__version__, _DEVICES[used], self.threads, fallback
        )
        check_tensors(model, "input", _found(self._session.get_inputs()), self.card.inputs)
        check_tensors(model, "output", _found(self._session.get_outputs()), self.card.outputs)
        self._check = InputCheck(self.card.inputs)
        self._outputs = [spec.name for spec in self.card.outputs]
        self._run = _quick_run(self._session)
        prove(self, file, warm_up)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return every output by name, in the card's order.

        Raises ModelError that says what came and what is wanted, and where the engine fails.
        """
        if not self._check.fits(inputs):
            raise ModelError(f"{self.model}: {self._check.refusal(inputs)}")
        try:
            values = self._run(self._outputs, inputs, None)
        except Exception as error:
            raise ModelError(f"{self.model}: the model failed while it ran: {_reason(error)}") from error
        if len(values) == 1:  # as nearly always: a third of what the line below takes
            return {self._outputs[0]: values[0]}
        return dict(zip(self._outputs, values, strict=True))


def open_bare(model: Path, raw: bytes) -> tuple[dict[str, Found], dict[str, Found]]:
    """Return inputs and outputs of a model as onnxruntime tells them, for a file without a card."""
    onnxruntime = _engine(model)
    options = _options(onnxruntime, 1, "none", False, False, False)
    session, _ = _open_session(onnxruntime, model, raw, options, "cpu", None)
    return _found(session.get_inputs()), _found(session.get_outputs())


def _engine(model: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            f"{model}: onnxruntime does not import on this machine: {first_line(error)}; `edgeai doctor` says more"
        ) from error
    return onnxruntime


def _options(
    onnxruntime: Any,
    threads: int,
    optimisation: Optimisation,
    memory_arena: bool,
    memory_pattern: bool,
    allow_spinning: bool,
) -> Any:
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
    return options


def _open_session(
    onnxruntime: Any, model: Path, raw: bytes, options: Any, provider: Provider, cache: Path | None
) -> tuple[Any, str]:
    """Return the session, and why it runs on the CPU where another provider was asked for."""
    chain = _CHAINS[provider]
    fallback = ""
    if chain:
        missing = chain[0] not in onnxruntime.get_available_providers()
        if missing:
            fallback = f"{_DEVICES[provider]} is not in this build of onnxruntime"
        else:
            wanted = [(name, _settings(name, cache)) for name in chain]
            try:
                session = onnxruntime.InferenceSession(
                    raw, options, providers=[*wanted, "CPUExecutionProvider"]
                )
                if chain[0] in session.get_providers():
                    return session, ""
                fallback = f"{_DEVICES[provider]} did not start on this machine"
            except Exception as error:
                fallback = f"{_DEVICES[provider]} failed: {_reason(error)}"
        _log.warning("%s: %s; the model runs on the CPU instead", model, fallback)
    try:
        return onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"]), fallback
    except Exception as error:
        raise ModelError(f"{model}: onnxruntime cannot load the model: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return what onnxruntime says is wrong, without its codes and the place in its own source."""
    said = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", first_line(error))
    return re.sub(r"\S*/onnxruntime_src/\S+:\d+ .*\) ", "", said)


def _quick_run(session: Any) -> Any:
    """Return the session's ``run`` without onnxruntime's own check of names: ours is stricter and done already.

    Of a model that takes 15 us that check is 2.5 us. Where a release has no such inner session, the outer's is used.
    """
    inner = getattr(session, "_sess", None)
    return getattr(inner, "run", session.run)


def _settings(name: str, cache: Path | None) -> dict[str, str]:
    """Return a provider's options: float32 that is float32, and a place for what it compiles."""
    if name == "CUDAExecutionProvider":
        return {"use_tf32": "0"}
    if cache is None:
        return {}
    if name == "TensorrtExecutionProvider":
        return {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(cache)}
    return {"cache_dir": str(cache)}


def _found(nodes: Any) -> dict[str, Found]:
    return {node.name: Found(_DTYPES.get(node.type, node.type), tuple(node.shape)) for node in nodes}
