"""Opening a model on an engine: the one that is named, or the one that was fastest on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

from edgeai_core.errors import ConfigError, ModelError
from edgeai_core.runners.budget import backend_of_device
from edgeai_core.runners.card import ModelCard
from edgeai_core.runners.runner import EngineRunner

Backend = Literal[
    "prepared", "auto", "onnx", "openvino", "litert", "cuda", "tensorrt", "onnx-openvino", "coral"
]
"""``prepared``: what `edgeai model prepare` found fastest here, ONNX Runtime until then. ``auto``: measured now
where that was not done yet. ``cuda``, ``tensorrt`` and ``onnx-openvino`` are ONNX Runtime's providers."""

BACKENDS: tuple[str, ...] = get_args(Backend)

Options = Mapping[str, Any]


def open_runner(
    model: Path,
    card: ModelCard | Path | None = None,
    *,
    backend: str | None = None,
    threads: int = 1,
    cache: Path | None = None,
    **options: Any,
) -> EngineRunner:
    """Open a model as a function on an engine.

    ``backend`` is the engine; None: the device's, ``EDGEAI_BACKEND``, else ``prepared``. ``cache`` is where
    answers and compiled models are kept, by default the state's. ``options`` go to the engine's runner.
    Raises ModelError for a model that cannot be run, MissingExtraError for an engine that is not installed, and
    ConfigError for a backend that does not exist.
    """
    name = check_backend(backend or backend_of_device())
    if name in ("prepared", "auto"):
        from edgeai_core.runners.auto import open_fastest

        return open_fastest(model, card, threads, cache, options, measure=name == "auto")
    return open_on(name, model, card, threads, cache, options)


def check_backend(name: str) -> str:
    """Return the name of a backend. Raises ConfigError for one that does not exist."""
    if name not in BACKENDS:
        raise ConfigError(f"backend {name!r} is unknown; it is one of {', '.join(BACKENDS)}")
    return name


def open_on(
    backend: str,
    model: Path,
    card: ModelCard | Path | None,
    threads: int,
    cache: Path | None,
    options: Options,
) -> EngineRunner:
    """Open a model on one engine, by the backend's name."""
    if model.suffix not in SUFFIXES[backend]:
        raise ModelError(
            f"{model}: backend {backend} runs {' and '.join(sorted(SUFFIXES[backend]))} files; "
            f"{', '.join(backends_for(model)) or 'no backend'} runs this one"
        )
    return _OPENERS[backend](model, card, threads, cache, options)


def backends_for(model: Path) -> list[str]:
    """Return the backends that run files of this kind and are installed here, ONNX Runtime first."""
    return [name for name in SUFFIXES if model.suffix in SUFFIXES[name] and installed(name)]


def installed(backend: str) -> bool:
    """Return whether an engine is on this machine; whether it takes a model, opening it tells."""
    if backend in ("openvino", "litert"):
        return find_spec({"openvino": "openvino", "litert": "ai_edge_litert"}[backend]) is not None
    if backend == "coral":
        return find_spec("ai_edge_litert") is not None and _coral_library()
    if find_spec("onnxruntime") is None:
        return False
    if backend == "onnx":
        return True
    import onnxruntime

    return _PROVIDERS[backend][1] in onnxruntime.get_available_providers()


def engine_versions() -> dict[str, str]:
    """Return the versions of the engines' packages that are installed, by package."""
    found = {}
    for package in ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "openvino", "ai-edge-litert"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


SUFFIXES: dict[str, frozenset[str]] = {
    "onnx": frozenset({".onnx"}),
    "openvino": frozenset({".onnx", ".xml"}),
    "litert": frozenset({".tflite"}),
    "cuda": frozenset({".onnx"}),
    "tensorrt": frozenset({".onnx"}),
    "onnx-openvino": frozenset({".onnx"}),
    "coral": frozenset({".tflite"}),
}
"""Which files a backend runs."""

_PROVIDERS = {
    "cuda": ("cuda", "CUDAExecutionProvider"),
    "tensorrt": ("tensorrt", "TensorrtExecutionProvider"),
    "onnx-openvino": ("openvino", "OpenVINOExecutionProvider"),
}


def _coral_library() -> bool:
    import ctypes

    from edgeai_core.runners.litert import CORAL_LIBRARY

    try:
        ctypes.CDLL(CORAL_LIBRARY)
    except OSError:
        return False
    return True


def _onnx(backend: str) -> Callable[..., EngineRunner]:
    def opened(
        model: Path, card: ModelCard | Path | None, threads: int, cache: Path | None, options: Options
    ) -> EngineRunner:
        from edgeai_core.runners.onnx import OnnxRunner

        provider: Any = _PROVIDERS[backend][0] if backend in _PROVIDERS else "cpu"
        return OnnxRunner(model, card, threads=threads, provider=provider, cache=cache, **options)

    return opened


def _openvino(
    model: Path, card: ModelCard | Path | None, threads: int, cache: Path | None, options: Options
) -> EngineRunner:
    from edgeai_core.runners.openvino import OpenVinoRunner

    return OpenVinoRunner(model, card, threads=threads, cache=cache, **options)


def _litert(device: Literal["CPU", "Coral"]) -> Callable[..., EngineRunner]:
    def opened(
        model: Path, card: ModelCard | Path | None, threads: int, cache: Path | None, options: Options
    ) -> EngineRunner:
        from edgeai_core.runners.litert import LiteRtRunner

        return LiteRtRunner(model, card, threads=threads, device=device, **options)

    return opened


_OPENERS: dict[str, Callable[..., EngineRunner]] = {
    **{name: _onnx(name) for name in ("onnx", *_PROVIDERS)},
    "openvino": _openvino,
    "litert": _litert("CPU"),
    "coral": _litert("Coral"),
}
