"""From chunks to decisions: what the loop, replay and evaluation all run, so that figures are of what ships."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from apps.manufacturing.maintenance.anomaly import Baseline, features
from apps.manufacturing.maintenance.bearing import BEARINGS, Bearing, BearingEvidence
from apps.manufacturing.maintenance.damage import BearingJudge, Verdict
from apps.manufacturing.maintenance.decide import Code, Limits, MaintenanceOutput, decide
from apps.manufacturing.maintenance.fuse import (
    KIND_FROM,
    TEMPERATURE_LIMIT_C,
    Belief,
    Severity,
    SlowTrend,
    Trend,
    health,
    name_kind,
)
from apps.manufacturing.maintenance.life import LifeHistory, LifeModel
from apps.manufacturing.maintenance.preprocess import Preprocessor, Stretch
from apps.manufacturing.maintenance.recording import MachineChunk
from apps.manufacturing.maintenance.vibration import Indicators, MachineClass, indicators
from apps.manufacturing.maintenance.wear import Calibration, WearTrend
from edgeai_core.decision import Decision
from edgeai_core.loop.snapshot import Stages

TRENDS = ("temperature_c", "pressure_bar", "current_a")

SPEED_RANGE_RPM = (30.0, 60_000.0)

SECONDS_REMEMBERED, BURSTS_REMEMBERED = 60.0, 6.0
"""What the bearing's evidence is added up over: a minute, or measurements that may lie hours apart."""

WRONG_SPEED = "the speed is missing or makes no sense; bearing lines and shaft orders are not looked at"


@dataclass(frozen=True)
class Settings:
    """What an analysis is told of a machine."""

    machine: str = "machine-1"
    machine_class: MachineClass = "medium flexible"
    bearing: Bearing = BEARINGS["6205"]
    rpm: float | None = None
    gear_teeth: int = 0
    axial_channel: int | None = 1
    temperature_limit_c: float = TEMPERATURE_LIMIT_C
    learn: int = 20
    horizon_h: float = 72.0
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Models:
    """What was taught: which part of a bearing is damaged, how wear goes on, and the life of engines by cycles."""

    judge: BearingJudge
    wear: Calibration
    life: LifeModel | None = None


class MachineAnalyzer:
    """Takes chunks in order and decides after every stretch.

    Decisions depend on the signal alone, not on how it was cut. Another recording begins anew; so do other channels.
    """

    def __init__(self, models: Models, settings: Settings) -> None:
        self._models, self._settings = models, settings
        self._preprocessor = Preprocessor()
        self._standing: frozenset[Code] | None = None
        self.decision: Decision[MaintenanceOutput] = Decision(
            MaintenanceOutput(settings.machine, "CANNOT_TELL"), None
        )
        """The latest decision; before the first stretch nothing can be told."""
        self.belief = Belief(0.0)
        """What the latest decision stands on."""
        self._begin()

    @property
    def evidence(self) -> BearingEvidence:
        """What was heard of the bearing, for people."""
        return self._evidence

    @property
    def lines(self) -> Mapping[str, float]:
        """The orders of the bearing's lines, for people."""
        lines = self._settings.bearing.lines
        return {"BPFO": lines.bpfo, "BPFI": lines.bpfi, "2x BSF": 2 * lines.bsf, "FTF": lines.ftf}

    def push(
        self, chunk: MachineChunk, stages: Stages | None = None, *, lost: bool = False
    ) -> Iterator[Decision[MaintenanceOutput]]:
        """Take the next chunk; give a decision for each stretch that it completes."""
        stages = stages or Stages()
        for stretch in self._preprocessor.push(chunk, lost=lost):
            if stretch.begins:
                self._begin()
            self.belief = self._cycles(stretch) if not stretch.rate_hz else self._vibration(stretch, stages)
            self.decision = decide(
                self.belief, self._standing, self._settings.limits, self._settings.machine, stretch.simulated
            )
            if self.decision.conditions is not None:
                self._standing = frozenset(Code(each.code) for each in self.decision.conditions)
            yield self.decision

    def _begin(self) -> None:
        settings = self._settings
        self._baseline = Baseline(settings.learn)
        self._severity = Severity(settings.machine_class, settings.temperature_limit_c)
        self._evidence = BearingEvidence(settings.bearing)
        self._wear = WearTrend(self._models.wear)
        self._trends = {name: SlowTrend() for name in TRENDS}
        self._history = LifeHistory(self._models.life) if self._models.life else None

    def _vibration(self, stretch: Stretch, stages: Stages) -> Belief:
        settings = self._settings
        shaft_hz, troubles = self._speed(stretch)
        with stages.stage("indicators"):
            seen = indicators(
                stretch,
                shaft_hz,
                settings.machine_class,
                gear_teeth=settings.gear_teeth,
                axial_channel=settings.axial_channel if len(stretch.usable) > 1 else None,
            )
        if seen is not None and shaft_hz is not None:
            with stages.stage("envelope"):
                self._evidence.memory_stretches = BURSTS_REMEMBERED if stretch.burst else SECONDS_REMEMBERED
                self._evidence.push(stretch.vibration[:, stretch.usable], stretch.rate_hz, shaft_hz)
        with stages.stage("belief"):
            return self._believe(stretch, seen, troubles)

    def _believe(self, stretch: Stretch, seen: Indicators | None, troubles: Sequence[str]) -> Belief:
        settings = self._settings
        counter = stretch.slow.get("hours", math.nan)
        hours = counter if math.isfinite(counter) else stretch.time_s / 3600
        anomaly = None
        healthy = self._baseline.learnt < 1
        if seen is not None:
            anomaly = self._baseline.push(features(seen, stretch.slow))
            if healthy:
                self._severity.learn(seen, stretch.slow)
        trends = self._slow_trends(hours, stretch)
        belief = Belief(
            stretch.time_s,
            hours,
            learning=self._baseline.learnt,
            anomaly=anomaly,
            seen=seen,
            slow=stretch.slow,
            trends=trends,
            troubles=(*stretch.troubles, *troubles),
        )
        if seen is None or healthy:
            return belief if seen is None else replace(belief, judged=True)
        severities = self._severity(seen, stretch.slow)
        worst = max(severities.values(), default=0.0)
        self._wear.push(hours, worst)
        outlook = self._wear.outlook(settings.horizon_h)
        kind, probability, basis = "none", None, ""
        if worst >= KIND_FROM:
            verdict, heard = self._verdict(seen)
            kind, probability, basis = name_kind(seen, self._severity, stretch.slow, verdict, heard)
        return replace(
            belief,
            judged=True,
            failure_probability=None if outlook is None else outlook.probability,
            remaining=None
            if outlook is None or not math.isfinite(outlook.remaining_h[0])
            else outlook.remaining_h,
            health_index=health(severities),
            severities=severities,
            kind=kind,
            kind_probability=probability,
            basis=basis,
        )

    def _verdict(self, seen: Indicators) -> tuple[Verdict | None, bool]:
        """What the bearing says, and whether a line says it."""
        if not self._evidence.heard_s:
            return None, False
        verdict = self._models.judge.judge(self._evidence.prominences(), seen.bands)
        return verdict, verdict.basis.startswith("a line")

    def _speed(self, stretch: Stretch) -> tuple[float | None, tuple[str, ...]]:
        measured = stretch.slow.get("rpm", math.nan)
        rpm = measured if math.isfinite(measured) else self._settings.rpm
        if rpm is None or not SPEED_RANGE_RPM[0] <= rpm <= SPEED_RANGE_RPM[1]:
            return None, (WRONG_SPEED,)
        return rpm / 60, ()

    def _slow_trends(self, hours: float, stretch: Stretch) -> tuple[Trend, ...]:
        found = []
        for name, trend in self._trends.items():
            value = stretch.slow.get(name, math.nan)
            slope = trend.push(hours, value)
            if slope is not None:
                found.append(Trend(name, value, slope))
        return tuple(found)

    def _cycles(self, stretch: Stretch) -> Belief:
        """A row of slow quantities: judged by the model of a life where there is one."""
        belief = Belief(stretch.time_s, slow=stretch.slow, remaining_unit="cycles")
        if self._history is None:
            return replace(belief, troubles=("no vibration, and no model of a life by cycles is taught",))
        outlook = self._history.push(stretch.slow)
        if outlook is None:
            return replace(belief, troubles=("a sensor that the model needs gives no value",))
        return replace(
            belief,
            judged=True,
            learning=1.0,
            failure_probability=outlook.failure_probability,
            remaining=(outlook.low, outlook.remaining, outlook.high),
            health_index=float(np.clip(outlook.health, 0, 1)),
        )
