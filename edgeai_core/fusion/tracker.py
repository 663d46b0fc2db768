"""The tracker: scans of detections in, tracks out; all tracks as arrays.

A track is born of a measurement that no track explains, lives while what it foretells is seen, coasts while it is not,
and dies when it probably is not there. All of it follows from rates that are declared: how often a sensor sees what is
there, how many false measurements it gives, how often something new appears and how long things stay. The probability
of existence is that of D. Musicki, R. Evans and S. Stankovic, "Integrated probabilistic data association", IEEE
Transactions on Automatic Control 39 (1994), with the one measurement that the assignment chose.

Nothing here is changed in place: each step makes a new ``TrackTable``, so that the past can be kept and taken up again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgeai_core.fusion import association, imm, kalman
from edgeai_core.fusion.gating import chi_square_gate, squared_distances
from edgeai_core.fusion.imm import Belief, ModelSet
from edgeai_core.fusion.observation import Observation

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Indices = NDArray[np.intp]

_LOG_2PI = float(np.log(2 * np.pi))
_IN_VIEW = 0.25
_CERTAIN = 14.0
"""Existence is kept to log-odds of at most this (a millionth): beyond it no sensor's declared rates are true."""


@dataclass(frozen=True)
class Sensor:
    """A sensor and its declared rates.

    ``detection`` is the probability that it sees a track, one number or a function of the states (n, d) that gives one
    for each (nought outside its field of view). ``clutter_density`` counts false measurements a scan in a unit of
    the gated measurement space, ``birth_density`` new objects likewise; with 0 it starts no track.
    """

    name: str
    observation: Observation
    detection: float | Callable[[Floats], Floats] = 0.9
    clutter_density: float = 1e-4
    birth_density: float = 1e-5
    gate: float = 0.999
    repeats: bool = False
    """It may see one object several times: what falls into the gate of a likely track starts no other."""
    bit: int = 1
    """A power of two of its own, where several sensors feed one table: who saw a track is kept."""


@dataclass(frozen=True)
class Scan:
    """What one sensor measured at one time.

    ``measured`` (m, k). ``evidence`` (m,) is what the detector's score says by itself: the logarithm of how much
    likelier such a score is for an object than for a false measurement. ``classes`` (m, c) are likelihoods by class,
    relative to chance.
    """

    time_s: float
    sensor: Sensor
    measured: Floats
    evidence: Floats | None = None
    classes: Floats | None = None


@dataclass(frozen=True)
class Lifecycle:
    """How long things stay, from which probability a track counts, and below which it is given up."""

    lifetime_s: float = 60.0
    confirm: float = 0.95
    drop: float = 0.02
    coast_s: float = 2.0
    """No longer than this without a measurement, whatever the probability."""


@dataclass(frozen=True)
class TrackTable:
    """All tracks at one time, row by row. ``log_odds`` is of existence; ``classes`` (n, c) sum to 1.

    ``seen_by`` holds the bits of the sensors that ever measured a track.
    """

    time_s: float
    id: Ints
    belief: Belief
    log_odds: Floats
    classes: Floats
    born_s: Floats
    seen_s: Floats
    confirmed: NDArray[np.bool_]
    seen_by: Ints
    next_id: int

    def __len__(self) -> int:
        return len(self.id)

    @property
    def existence(self) -> Floats:
        """Probability (n,) that there is something."""
        return 1 / (1 + np.exp(-self.log_odds))

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> TrackTable:
        """Return some of the tracks."""
        return replace(
            self, id=self.id[rows], belief=self.belief.take(rows), log_odds=self.log_odds[rows],
            classes=self.classes[rows], born_s=self.born_s[rows], seen_s=self.seen_s[rows],
            confirmed=self.confirmed[rows], seen_by=self.seen_by[rows],
        )  # fmt: skip


@dataclass(frozen=True)
class Association:
    """Which measurement went to which track: rows of the table after the step (-1: none) for each measurement.

    ``nis`` (m,) is the squared innovation over its covariance, for measurements of tracks that were there before, else
    not a number. Of the tracks that this sensor and another have seen before, ``expected`` is how many it should have
    seen now, ``shared`` how many of them are in its view, and ``shared_nis`` and ``shared_id`` the ``nis`` and ids of
    those that it did see. ``stray`` counts measurements that lie near no track that another sensor has seen.
    """

    row: Indices
    nis: Floats
    expected: float
    shared_nis: Floats
    shared_id: Ints
    shared: int = 0
    stray: int = 0


class Tracker:
    """Models and rates, applied to tables of tracks by pure functions."""

    def __init__(self, models: ModelSet, dimension: int, lifecycle: Lifecycle, classes: int = 1) -> None:
        self.models, self.lifecycle, self.class_count, self.dimension = models, lifecycle, classes, dimension
        self._confirm, self._drop = _log_odds(lifecycle.confirm), _log_odds(lifecycle.drop)

    def empty(self, time_s: float) -> TrackTable:
        """Return a table without tracks."""
        k, d = len(self.models.motions), self.dimension
        belief = Belief(np.zeros((0, k, d)), np.zeros((0, k, d, d)), np.zeros((0, k)))
        none = np.zeros(0)
        return TrackTable(
            time_s, np.zeros(0, np.int64), belief, none, np.zeros((0, self.class_count)), none, none,
            np.zeros(0, np.bool_), np.zeros(0, np.int64), 1,
        )  # fmt: skip

    def predict(self, table: TrackTable, time_s: float) -> TrackTable:
        """Return the table at a later time."""
        dt_s = time_s - table.time_s
        if dt_s == 0:
            return table
        survival = np.exp(-dt_s / self.lifecycle.lifetime_s)
        existence = table.existence * survival
        return replace(
            table,
            time_s=time_s,
            belief=self.models.predict(table.belief, dt_s),
            log_odds=np.log(existence / (1 - existence)),
        )

    def update(
        self, table: TrackTable, scan: Scan, numbers: Ints | None = None
    ) -> tuple[TrackTable, Association]:
        """Return the table after a scan made at the table's time, and what went where.

        ``numbers`` (m,) are the ids that tracks born of each measurement get; by default the next ones.
        """
        sensor, m = scan.sensor, len(scan.measured)
        seen = _Expected.of(table, sensor)
        evidence = np.zeros(m) if scan.evidence is None else scan.evidence
        rows, columns, nis, near = self._associate(table, scan, seen, evidence)
        log_odds = table.log_odds + np.log1p(-seen.detection)  # as if missed
        belief, classes, seen_s, seen_by = table.belief, table.classes, table.seen_s, table.seen_by
        others = (seen_by & ~sensor.bit) != 0
        trusted = others & (table.log_odds > 0)
        shared = ((seen_by & sensor.bit) != 0) & others
        stray = m - int(near[trusted].any(axis=0).sum())
        expected = float((seen.existence * seen.detection)[shared].sum())
        in_view = int((shared & (seen.detection > _IN_VIEW)).sum())
        if rows.size:
            false = sensor.clutter_density + sensor.birth_density
            gain = seen.log_peak[rows] - 0.5 * nis[columns] + evidence[columns]
            log_odds[rows] = table.log_odds[rows] + np.log(seen.detection[rows] / false) + gain
            belief = _updated(belief, scan, rows, columns)
            seen_s = seen_s.copy()
            seen_s[rows] = scan.time_s
            seen_by = seen_by.copy()
            seen_by[rows] |= sensor.bit
            if scan.classes is not None:
                classes = classes.copy()
                weight = classes[rows] * scan.classes[columns]
                classes[rows] = weight / weight.sum(axis=1, keepdims=True)
        row = np.full(m, -1, np.intp)
        row[columns] = rows
        likely, ids = table.log_odds > 0, table.id
        log_odds = np.minimum(log_odds, _CERTAIN)
        table = TrackTable(
            table.time_s, table.id, belief, log_odds, classes, table.born_s, seen_s,
            table.confirmed | (log_odds >= self._confirm), seen_by, table.next_id,
        )  # fmt: skip
        keep = (log_odds > self._drop) & (table.time_s - seen_s <= self.lifecycle.coast_s)
        if not keep.all():
            where = np.where(keep, np.cumsum(keep) - 1, -1)
            table, row = table.take(keep), np.where(row >= 0, where[row] if len(where) else -1, -1)
        met = rows[shared[rows]]
        if sensor.birth_density > 0:
            unclaimed = np.ones(m, np.bool_)
            unclaimed[columns] = False
            if sensor.repeats:
                unclaimed &= ~near[likely].any(axis=0)
            table, row = self._born(table, scan, evidence, np.nonzero(unclaimed)[0], row, numbers)
        went = Association(row, nis, expected, nis[columns[shared[rows]]], ids[met], in_view, stray)
        return table, went

    def _associate(
        self, table: TrackTable, scan: Scan, seen: _Expected, evidence: Floats
    ) -> tuple[Indices, Indices, Floats, NDArray[np.bool_]]:
        m, g = len(scan.measured), scan.sensor.observation.gated
        nis = np.full(m, np.nan)
        if not len(table) or not m:
            nothing = np.zeros(0, np.intp)
            return nothing, nothing, nis, np.zeros((len(table), m), np.bool_)
        off = scan.sensor.observation.innovation(scan.measured[None, :], seen.measured[:, None])[..., :g]
        distance = squared_distances(off, seen.inverse)
        near = distance <= chi_square_gate(g, scan.sensor.gate)
        false = scan.sensor.clutter_density + scan.sensor.birth_density
        there = np.log(seen.detection / (1 - seen.detection) / false) + seen.log_peak
        gain = there[:, None] - 0.5 * distance + evidence
        if scan.classes is not None:
            gain += association.log_class_likelihood(table.classes, scan.classes)
        gain[~near] = -np.inf
        # tracks that probably exist choose first; the others share what is left
        likely = table.log_odds > 0
        rows, columns = association.assign_in_turn(gain, likely)
        nis[columns] = distance[rows, columns]
        return rows, columns, nis, near

    def _born(
        self,
        table: TrackTable,
        scan: Scan,
        evidence: Floats,
        new: Indices,
        row: Indices,
        numbers: Ints | None,
    ) -> tuple[TrackTable, Indices]:
        sensor = scan.sensor
        log_odds = np.log(sensor.birth_density / sensor.clutter_density) + evidence[new]
        likely = log_odds > self._drop
        new, log_odds = new[likely], np.minimum(log_odds[likely], _CERTAIN)
        count = new.size
        if not count:
            return table, row
        classes = np.full((count, self.class_count), 1 / self.class_count)
        if scan.classes is not None:
            classes = scan.classes[new] / scan.classes[new].sum(axis=1, keepdims=True)
        now = np.full(count, scan.time_s)
        row[new] = len(table) + np.arange(count)
        return TrackTable(
            table.time_s,
            np.concatenate([table.id, table.next_id + np.arange(count) if numbers is None else numbers[new]]),
            table.belief.joined(self.models.begin(*sensor.observation.birth(scan.measured[new]))),
            np.concatenate([table.log_odds, log_odds]),
            np.concatenate([table.classes, classes]),
            np.concatenate([table.born_s, now]),
            np.concatenate([table.seen_s, now]),
            np.concatenate([table.confirmed, log_odds >= self._confirm]),
            np.concatenate([table.seen_by, np.full(count, sensor.bit)]),
            table.next_id + count,
        ), row


@dataclass(frozen=True)
class _Expected:
    """What a sensor should see of each track: gated numbers only, over all models."""

    measured: Floats
    inverse: Floats
    log_peak: Floats
    detection: Floats
    existence: Floats

    @classmethod
    def of(cls, table: TrackTable, sensor: Sensor) -> _Expected:
        mean, covariance = table.belief.moments()
        measured, h, r = sensor.observation.predict(mean)
        g = sensor.observation.gated
        s = kalman.innovation_covariance(covariance, h[..., :g, :], r[..., :g, :g])
        detection = (
            sensor.detection(mean) if callable(sensor.detection) else np.full(len(mean), sensor.detection)
        )
        peak = -0.5 * (g * _LOG_2PI + kalman.log_det(s))
        return cls(measured, kalman.inverse(s), peak, np.clip(detection, 1e-6, 0.999), table.existence)


def _updated(belief: Belief, scan: Scan, rows: Indices, columns: Indices) -> Belief:
    part = imm.update(belief.take(rows), scan.sensor.observation, scan.measured[columns])
    if len(rows) == len(belief) and (np.diff(rows) == 1).all():
        return part
    mean, covariance, weight = belief.mean.copy(), belief.covariance.copy(), belief.weight.copy()
    mean[rows], covariance[rows], weight[rows] = part.mean, part.covariance, part.weight
    return Belief(mean, covariance, weight)


def _log_odds(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))
