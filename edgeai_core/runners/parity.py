"""Parity: proof that a converted model answers as its source does, or a refusal that says where it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from edgeai_core.errors import ModelError
from edgeai_core.runners.runner import Runner


@dataclass(frozen=True)
class Difference:
    """Where one output lies farthest from what was wanted, measured in tolerances.

    ``tolerances`` is ``|got - wanted| / (atol + rtol * |wanted|)``: up to 1 the two agree.
    """

    output: str
    index: tuple[int, ...]
    got: float
    wanted: float
    tolerances: float

    def __str__(self) -> str:
        at = f"[{', '.join(map(str, self.index))}]"
        return f"output {self.output}{at} is {self.got:.9g} where {self.wanted:.9g} is wanted"


@dataclass(frozen=True)
class ParityReport:
    """What was compared, and how near the two came: the worst difference of each output."""

    samples: int
    atol: float
    rtol: float
    worst: Mapping[str, Difference]


def check_parity(
    reference: Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]],
    runner: Runner,
    samples: Iterable[Mapping[str, np.ndarray]],
    atol: float = 1e-5,
    rtol: float = 1e-4,
) -> ParityReport:
    """Run ``samples`` through both and return how near they came.

    Raises ModelError that names the worst output, its sample and element, where any element of any output
    differs by more than ``atol + rtol * |reference|``, or is finite on one side only; also for other outputs
    or shapes than the reference's, and without any sample.
    """
    name = f"model {runner.card.name} {runner.card.version}"
    worst: dict[str, tuple[Difference, int]] = {}
    count = 0
    for number, inputs in enumerate(samples):
        count += 1
        for found in differences(
            runner.run(inputs), reference(inputs), atol, rtol, f"{name}, sample {number}"
        ):
            if found.output not in worst or found.tolerances > worst[found.output][0].tolerances:
                worst[found.output] = found, number
    if not worst:
        raise ModelError(f"{name}: parity needs at least one sample with an output")
    largest, number = max(worst.values(), key=lambda pair: pair[0].tolerances)
    if largest.tolerances > 1:
        raise ModelError(
            f"{name} does not agree with its source: sample {number}, {largest} (atol {atol:g}, rtol {rtol:g})"
        )
    return ParityReport(count, atol, rtol, {output: found for output, (found, _) in worst.items()})


def differences(
    got: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray], atol: float, rtol: float, where: str
) -> list[Difference]:
    """Return the worst difference of each output that is not empty.

    Raises ModelError, which begins with ``where``, for other outputs or other shapes than those wanted.
    """
    if got.keys() != wanted.keys():
        raise ModelError(f"{where}: outputs are {sorted(got)} where {sorted(wanted)} are wanted")
    found = []
    for output, target in wanted.items():
        array, target = np.asarray(got[output]), np.asarray(target)
        if array.shape != target.shape:
            raise ModelError(
                f"{where}: output {output} has shape {array.shape} where {target.shape} is wanted"
            )
        if array.size:
            found.append(_worst(output, array.astype(np.float64), target.astype(np.float64), atol, rtol))
    return found


def _worst(output: str, got: np.ndarray, wanted: np.ndarray, atol: float, rtol: float) -> Difference:
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        tolerances = np.abs(got - wanted) / (atol + rtol * np.abs(wanted))
    same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
    both_finite = np.isfinite(got) & np.isfinite(wanted)
    tolerances = np.where(same, 0.0, np.where(both_finite, tolerances, np.inf))
    index = np.unravel_index(int(np.argmax(tolerances)), tolerances.shape)
    place = tuple(int(axis) for axis in index)
    return Difference(output, place, float(got[place]), float(wanted[place]), float(tolerances[place]))
