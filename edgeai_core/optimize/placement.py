"""Which board can hold a model's deadline: this machine's measurement, scaled by what others published of boards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from edgeai_core.errors import ConfigError, MissingExtraError
from edgeai_core.optimize.profiles import PROFILES, TIERS, Profile, Published, Tier, this_profile
from edgeai_core.optimize.references import reference_model
from edgeai_core.runners.card import ModelCard
from edgeai_core.runners.model_file import read_model_file
from edgeai_core.runners.open import backends_for, open_runner
from edgeai_core.runners.tensors import noise
from edgeai_core.runners.timing import interleaved

Verdict = Literal["yes", "perhaps", "no", "unknown"]
Report = Callable[[str, int, int], None]

UNCERTAINTY = 2.0
"""A board's time is taken to lie within this factor of what was scaled: networks differ in how well an engine runs
them. Published figures of one board differ by more than three between networks of like arithmetic (Jetson Nano:
EfficientNet-B0 at 13.9, ResNet-50 at 46 thousand million multiplications a second)."""

_LIKE: dict[str, tuple[str, float]] = {
    "YOLOX-nano": ("MobileNetV2", 0.54 / 0.30),
    "EfficientNet-Lite": ("MobileNetV2", 0.385 / 0.30),
    "YOLOv5s": ("ResNet-50", 8.25 / 4.09),
}
"""A network without a reference of its own stands for one of like layers, by its multiply-additions in thousand
millions: YOLOX-nano 0.54 (1.08 FLOPs in Z. Ge et al. 2021, table 5; 0.523 counted on its released graph),
EfficientNet-Lite0 0.385 (counted on its graph; its authors' page says 0.407), YOLOv5s 8.25 at 640 px (16.5 FLOPs in
its repository's table, release 6.1), MobileNetV2 0.30 (Sandler et al. 2018, table 4; 0.301 counted), ResNet-50 4.09
(torchvision; 4.089 counted)."""

_SECONDS = 1.5
_WORK_MIB = 64
"""What engine and program take beside the model."""


@dataclass(frozen=True)
class Placement:
    """What a board is expected to take for one call: from ``low_ms`` to ``high_ms``; the reason says from what.

    ``memory_mib`` is a lower bound: the file's weights twice, and the engine.
    """

    board: str
    title: str
    tier: Tier
    verdict: Verdict
    low_ms: float | None
    high_ms: float | None
    memory_mib: float
    reason: str


@dataclass(frozen=True)
class Placed:
    """A model's time on this machine, the reference networks' times beside it, and every board's verdict."""

    here_ms: float
    engine: str
    references_ms: Mapping[str, float]
    boards: tuple[Placement, ...]


def place(
    model: Path,
    card: ModelCard | Path | None,
    deadline_ms: float,
    references: Path,
    *,
    threads: int = 1,
    report: Report = lambda what, done, total: None,
) -> Placed:
    """Time a model and the reference networks in turns on this machine, and judge every board by the ratio.

    ``references`` is the folder of the reference networks (see ``reference_model``). Raises MissingExtraError where
    they are not there and cannot be made.
    """
    names = sorted({_reference(figure)[0] for board in PROFILES.values() for figure in board.published})
    runner = open_runner(model, card, backend=next(iter(backends_for(model)), "onnx"), threads=threads)
    inputs = read_model_file(model, card).example()
    calls: dict[str, Callable[[], object]] = {"model": lambda: runner.run(inputs)}
    for number, name in enumerate(names):
        report("making the reference networks", number, len(names))
        try:
            made = reference_model(name, references)
        except MissingExtraError as error:
            raise MissingExtraError(f"placement scales by reference networks: {error}") from error
        other = open_runner(made, backend="onnx", threads=threads)
        picture = noise(other.card.inputs)
        calls[name] = lambda other=other, picture=picture: other.run(picture)  # type: ignore[misc]
    report("making the reference networks", len(names), len(names))
    times = interleaved(
        calls, _SECONDS * len(calls), report=lambda share: report("measuring", round(100 * share), 100)
    )
    ms = {name: float(np.median(np.percentile(each, 25, axis=1))) / 1e6 for name, each in times.items()}
    here = ms.pop("model")
    memory = 2 * model.stat().st_size / (1 << 20) + _WORK_MIB
    boards = [_judge(board, here, ms, memory, deadline_ms) for board in PROFILES.values()]
    boards.append(_here(here, memory, deadline_ms))
    return Placed(here, str(runner.description), ms, tuple(boards))


def _judge(
    board: Profile, here_ms: float, references_ms: Mapping[str, float], memory: float, deadline_ms: float
) -> Placement:
    if memory > board.limit_mib:
        return Placement(
            board.name, board.title, board.tier, "no", None, None, memory,
            f"it needs about {memory:.0f} MiB, of which a model may have {board.limit_mib} here",
        )  # fmt: skip
    scaled = []
    for figure in board.published:
        name, times = _reference(figure)
        scaled.append(here_ms * figure.ms / (references_ms[name] * times))
    if not scaled:
        return _without_figures(board, here_ms, references_ms, memory, deadline_ms)
    low, high = min(scaled) / UNCERTAINTY, max(scaled) * UNCERTAINTY
    from_what = ", ".join(f"{f.network} {f.frames_per_s:g} frames/s" for f in board.published)
    return Placement(
        board.name, board.title, board.tier, _verdict(low, high, deadline_ms), low, high, memory,
        f"scaled by {from_what}, within a factor of {UNCERTAINTY:g}",
    )  # fmt: skip


def _without_figures(
    board: Profile, here_ms: float, references_ms: Mapping[str, float], memory: float, deadline_ms: float
) -> Placement:
    """Judge a board of which no figure is at hand: from above by its slower kin, else not at all."""
    if board.name == "agx-orin":
        kin = _judge(PROFILES["xavier-nx"], here_ms, references_ms, memory, deadline_ms)
        assert kin.high_ms is not None
        verdict: Verdict = "yes" if kin.high_ms <= deadline_ms else "perhaps"
        return Placement(
            board.name, board.title, board.tier, verdict, None, kin.high_ms, memory,
            "no figure of this board is at hand; at most what the smaller Xavier NX takes",
        )  # fmt: skip
    return Placement(
        board.name, board.title, board.tier, "unknown", None, None, memory,
        "no figure of this board is at hand; measure there with `edgeai model measure`",
    )  # fmt: skip


def _here(here_ms: float, memory: float, deadline_ms: float) -> Placement:
    board = this_profile()
    verdict: Verdict = "yes" if here_ms <= deadline_ms else "no"
    return Placement(
        "this", board.title, tier_of(here_ms), verdict, here_ms, here_ms, memory,
        "measured, one call after the other on this machine as it is now",
    )  # fmt: skip


def published_ms(board: Profile, network: str) -> tuple[float, str]:
    """Return how long ``network`` (a reference) takes on a board as published, and from which figure that comes.

    A figure of the network itself goes before one of a network that stands for it by its arithmetic. Of the AGX Orin
    no figure is at hand: it gets that of its slower kin. Raises ConfigError where there is none at all.
    """
    kin = PROFILES["xavier-nx"] if board.name == "agx-orin" else board
    stand_ins = [(figure, *_reference(figure)) for figure in kin.published]
    fitting = [(figure, times) for figure, name, times in stand_ins if name == network]
    if not fitting:
        raise ConfigError(
            f"of {board.title} no figure of {network} or its like is published; measure there with "
            f"`edgeai model measure`, and give the ratio to this machine's time instead"
        )
    figure, times = min(fitting, key=lambda each: each[0].network != network)
    slower = f" on {kin.title}, its slower kin" if kin is not board else ""
    return (
        figure.ms / times,
        f"{figure.network} at {figure.frames_per_s:g} frames/s{slower} ({figure.source})",
    )


def tier_of(ms: float) -> Tier:
    """Return the nearest tier that a latency belongs to."""
    if ms <= TIERS["device"][1]:
        return "device"
    return "edge" if ms <= TIERS["edge"][1] else "cloud"


def _verdict(low_ms: float, high_ms: float, deadline_ms: float) -> Verdict:
    if high_ms <= deadline_ms:
        return "yes"
    return "perhaps" if low_ms <= deadline_ms else "no"


def _reference(figure: Published) -> tuple[str, float]:
    """Return the reference network that a published one stands for, and how much more it computes."""
    return _LIKE.get(figure.network, (figure.network, 1.0))
