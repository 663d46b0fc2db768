"""What an evaluation says: figures with intervals and counts, of which model, on which data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeai_core.errors import InputError
from edgeai_core.metrics.intervals import wilson


@dataclass(frozen=True)
class Figure:
    """One measured value with its 95 % interval.

    ``n`` is how many things were counted or timed. ``unit`` is ``"1"`` for shares, which are fractions
    from 0 to 1, else a unit of its own such as ``"s"`` or ``"1/h"``. ``None`` stands for what the data cannot
    tell; a value that is not a number is refused, so that JSON stays JSON (``Figure.of`` makes it ``None``).
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    unit: str = "1"
    note: str = ""

    def __post_init__(self) -> None:
        for name in ("value", "low", "high"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise InputError(f"a figure's {name} is {number}; what cannot be told is None")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise InputError(f"a figure's interval runs from {self.low} down to {self.high}")
        if self.n < 0:
            raise InputError(f"a figure cannot stand on {self.n} counts")

    @classmethod
    def of(
        cls,
        value: float | None,
        interval: tuple[float, float] | None,
        n: int,
        unit: str = "1",
        note: str = "",
    ) -> Figure:
        """Make a figure from computed numbers: what is not finite becomes None."""
        low, high = (None, None) if interval is None else interval
        return cls(_finite(value), _finite(low), _finite(high), int(n), unit, note)

    @classmethod
    def share(cls, successes: int, n: int, note: str = "") -> Figure:
        """Make a figure of a share of independent trials, with Wilson's interval; None where ``n`` is 0."""
        if n == 0:
            return cls(None, None, None, 0, note=note)
        return cls.of(successes / n, wilson(successes, n), n, note=note)

    def to_json(self) -> dict[str, object]:
        """Return value, low, high, n and unit, and the note where there is one."""
        plain: dict[str, object] = {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "n": self.n,
            "unit": self.unit,
        }
        return plain | ({"note": self.note} if self.note else {})


@dataclass(frozen=True)
class ModelRef:
    """Which model was judged. ``digest`` is the SHA-256 of its file; None where models were trained anew."""

    name: str
    version: str
    digest: str | None = None

    def to_json(self) -> dict[str, object]:
        """Return name, version and digest."""
        return {"name": self.name, "version": self.version, "digest": self.digest}


@dataclass(frozen=True)
class DataRef:
    """Which data it was judged on: ``counts`` says how many records, patients, windows and so on."""

    name: str
    licence: str
    counts: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return name, licence and counts."""
        return {"name": self.name, "licence": self.licence, "counts": dict(self.counts)}


@dataclass(frozen=True)
class Evaluation:
    """What ``edgeai evaluate`` prints: ``rows`` are flat tables, one row for each record, class or speed."""

    task: str
    model: ModelRef
    data: tuple[DataRef, ...]
    figures: Mapping[str, Figure]
    rows: tuple[Mapping[str, object], ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return one JSON object; numbers in the rows that are not finite become null."""
        return {
            "task": self.task,
            "model": self.model.to_json(),
            "data": [data.to_json() for data in self.data],
            "figures": {name: figure.to_json() for name, figure in self.figures.items()},
            "rows": [{key: _plain(value) for key, value in row.items()} for row in self.rows],
        }


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _plain(value: object) -> object:
    item = getattr(value, "item", None)  # numpy's scalars
    plain = item() if callable(item) else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain
