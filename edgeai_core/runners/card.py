"""The card of a model: what it takes and gives, what it was taught with, how good it is, its limits."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgeai_core.errors import ModelError

if TYPE_CHECKING:
    from edgeai_core.metrics.evaluation import Figure

MAX_CARD_BYTES = 1 << 20

Dtype = Literal[
    "bool", "float16", "float32", "float64",
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
]  # fmt: skip
"""Element types by numpy's names."""

Parameter = bool | int | float | str | list[bool] | list[int] | list[float] | list[str]

_FORBID = {"extra": "forbid", "strict": True}


@dataclass(frozen=True)
class TensorSpec:
    """One input or output: ``shape`` has a number for a fixed dimension, a name for one that may vary.

    The same name stands for the same size within one call. ``preprocessing`` says in words how raw data
    become this array.
    """

    __pydantic_config__ = _FORBID

    name: str
    shape: tuple[int | str, ...]
    dtype: Dtype
    unit: str = "1"
    meaning: str = ""
    preprocessing: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a tensor needs a name")
        for size in self.shape:
            if size == "" or (isinstance(size, int) and size < 1):
                raise ValueError(f"shape {list(self.shape)} of {self.name!r} holds {size!r}")

    def __str__(self) -> str:
        return f"{self.name} {self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Golden:
    """Where the golden vectors are, a ``.npz`` beside the card, and how near an engine must come to them."""

    __pydantic_config__ = _FORBID

    file: str
    digest: str
    atol: float
    rtol: float

    def __post_init__(self) -> None:
        _check_file("golden.file", self.file)
        _check_digest("golden.digest", self.digest)
        for name in ("atol", "rtol"):
            tolerance = getattr(self, name)
            if not (math.isfinite(tolerance) and tolerance >= 0):
                raise ValueError(f"golden.{name} is {tolerance}; it must be a number from 0 up")


@dataclass(frozen=True)
class Weights:
    """A second file, beside the model's, that holds its weights: OpenVINO's form has one (``.bin``)."""

    __pydantic_config__ = _FORBID

    file: str
    digest: str

    def __post_init__(self) -> None:
        _check_file("weights.file", self.file)
        _check_digest("weights.digest", self.digest)


@dataclass(frozen=True)
class TrainingData:
    """Data the model was taught with. ``licence`` is never empty: where none is stated it says so."""

    __pydantic_config__ = _FORBID

    name: str
    origin: str
    licence: str
    attribution: str = ""
    split: str = ""

    def __post_init__(self) -> None:
        for name in ("name", "origin", "licence"):
            if not getattr(self, name).strip():
                raise ValueError(f"training data must state their {name}")


@dataclass(frozen=True)
class CardFigure:
    """A measured figure with its 95 % interval, and the command that prints it."""

    __pydantic_config__ = _FORBID

    value: float
    n: int
    command: str
    low: float | None = None
    high: float | None = None
    unit: str = "1"
    note: str = ""

    def __post_init__(self) -> None:
        for name in ("value", "low", "high"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise ValueError(f"{name} is {number}")

    @classmethod
    def of(cls, figure: Figure, command: str) -> CardFigure:
        """Take over a figure of an evaluation. Raises ModelError where it has no value."""
        if figure.value is None:
            raise ModelError("a figure without a value has no place in a card; leave it out")
        return cls(figure.value, figure.n, command, figure.low, figure.high, figure.unit, figure.note)


@dataclass(frozen=True)
class ModelCard:
    """All that is known of one model file; it lies beside it as ``<stem>.card.toml``.

    ``digest`` is the SHA-256 of ``file`` in lower-case hexadecimal. ``parameters`` are the thresholds and
    calibration that belong to exactly these weights, so that they cannot be mixed up with another model's.
    """

    __pydantic_config__ = _FORBID

    name: str
    version: str
    task: str
    file: str
    digest: str
    licence: str
    intended_use: str
    limits: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    classes: tuple[str, ...] = ()
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    golden: Golden | None = None
    training_data: tuple[TrainingData, ...] = ()
    figures: Mapping[str, CardFigure] = field(default_factory=dict)
    source: str = ""
    """Where the file can be fetched from, where it does not lie beside its card: an https address."""
    weights: Weights | None = None

    def __post_init__(self) -> None:
        for name in ("name", "version", "task", "licence", "intended_use"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name} is empty")
        _check_file("file", self.file)
        _check_digest("digest", self.digest)
        for name, specs in (("inputs", self.inputs), ("outputs", self.outputs)):
            names = [spec.name for spec in specs]
            if not names or len(set(names)) < len(names):
                raise ValueError(f"{name} must have one entry or more, each with a name of its own: {names}")
        if self.source and not self.source.startswith("https://"):
            raise ValueError(f"source {self.source!r} is no https address")
        if self.source and self.weights is not None:
            raise ValueError("a model whose weights are a second file cannot be fetched")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes names one class twice: {list(self.classes)}")
        for name, value in self.parameters.items():
            numbers = value if isinstance(value, list) else [value]
            if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
                raise ValueError(f"parameters.{name} is {value}; it must be finite")

    def number(self, parameter: str) -> float:
        """Return a parameter that must be a number. Raises ModelError where it is not there or no number."""
        value = self.parameters.get(parameter)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ModelError(
                f"model {self.name} {self.version}: its card has no number parameters.{parameter}"
            )
        return float(value)


def card_path(model: Path) -> Path:
    """Return where a model's card lies: ``rhythm.onnx`` has ``rhythm.card.toml`` beside it."""
    return model.with_name(f"{model.stem}.card.toml")


def read_card(path: Path) -> ModelCard:
    """Read and check a card. Raises ModelError that names the file, the field and what is wrong with it."""
    raw = read_limited(path, MAX_CARD_BYTES, "model card")
    try:
        table = tomllib.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # TOML's own errors, and those of a number too long
        raise ModelError(f"{path}: the model card is not valid TOML: {error}") from error
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(ModelCard).validate_json(json.dumps(table, default=str))
    except RecursionError as error:
        raise ModelError(f"{path}: the model card is nested too deep") from error
    except ValidationError as error:
        first, *more = error.errors(include_url=False)
        where = ".".join(str(part) for part in first["loc"]) or "card"
        rest = f" (and {len(more)} more)" if more else ""
        raise ModelError(f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}{rest}") from error


def write_card(card: ModelCard, path: Path) -> None:
    """Write a card so that a reader finds the old one or the new one, never half of one."""
    import tomli_w

    write_whole(path, tomli_w.dumps(_stated(asdict(card))).encode("utf-8"))


def pack_card(card: ModelCard | Path | None) -> dict[str, Any] | str | None:
    """Return a card, or where it lies, as plain values for another process of this program."""
    return str(card) if isinstance(card, Path) else None if card is None else asdict(card)


def unpack_card(packed: dict[str, Any] | str | None) -> ModelCard | Path | None:
    """Take back what ``pack_card`` gave."""
    if packed is None or isinstance(packed, str):
        return None if packed is None else Path(packed)
    from pydantic import TypeAdapter

    return TypeAdapter(ModelCard).validate_json(json.dumps(packed))


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file in lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_limited(path: Path, limit_bytes: int, what: str) -> bytes:
    """Read a whole file of at most ``limit_bytes``; ``what`` names it in the ModelError that says why not."""
    try:
        if not path.is_file():
            problem = "is not a file" if path.exists() else "does not exist"
            raise ModelError(f"{path}: the {what} {problem}")
        with path.open("rb") as file:
            data = file.read(limit_bytes + 1)
    except OSError as error:
        raise ModelError(f"{path}: the {what} cannot be read: {error.strerror}") from error
    if not data:
        raise ModelError(f"{path}: the {what} is empty")
    if len(data) > limit_bytes:
        raise ModelError(f"{path}: the {what} is larger than {limit_bytes} bytes")
    return data


def write_whole(path: Path, data: bytes) -> None:
    """Write a file by a temporary one beside it, which takes its place only when all of it is on the disk."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(handle, 0o644)
                os.fsync(handle)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ModelError(f"{path}: cannot be written: {error.strerror}") from error


def _check_digest(name: str, digest: str) -> None:
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ValueError(f"{name} {digest!r} is not a SHA-256 of 64 lower-case hexadecimal digits")


def _check_file(name: str, file: str) -> None:
    if file != Path(file).name or file in ("", ".", "..") or "\\" in file or "\0" in file:
        raise ValueError(f"{name} {file!r} must be the bare name of a file beside the card")


def _stated(value: Any) -> Any:
    """Leave out what says nothing, for TOML has no null."""
    if isinstance(value, dict):
        return {key: _stated(item) for key, item in value.items() if item not in (None, "")}
    if isinstance(value, list | tuple):
        return [_stated(item) for item in value]
    return value
