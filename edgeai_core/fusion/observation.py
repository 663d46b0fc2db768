"""Observation models: what a sensor should see of a track, with Jacobian and noise, and a track from what it saw."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Observation(Protocol):
    """A sensor's view of states (n, d) as measurements (m, k).

    Of the k numbers the first ``gated`` decide what belongs together; the others are learned from once it does.
    """

    @property
    def gated(self) -> int:
        """How many of the measured numbers take part in gating and association."""
        ...

    def predict(self, mean: Floats) -> tuple[Floats, Floats, Floats]:
        """Return what should be measured (n, k), its Jacobian (n, k, d) or (k, d), and noise (n, k, k) or (k, k)."""
        ...

    def innovation(self, measured: Floats, predicted: Floats) -> Floats:
        """Return measured less predicted, shapes broadcast, angles taken the short way round."""
        ...

    def birth(self, measured: Floats) -> tuple[Floats, Floats]:
        """Return states (m, d) and covariances (m, d, d) of tracks that begin with these measurements."""
        ...


def wrap(angle: Floats) -> Floats:
    """Return angles in [-pi, pi)."""
    return np.mod(angle + np.pi, 2 * np.pi) - np.pi


def wrap_half(angle: Floats) -> Floats:
    """Return directions in [-pi/2, pi/2): those known only up to half a turn."""
    return np.mod(angle + np.pi / 2, np.pi) - np.pi / 2


@dataclass(frozen=True)
class Position:
    """Positions and other parts of the state, measured as they are.

    ``parts`` are the state's indices, the gated ones first; ``deviation`` the standard deviations (k,).
    ``half_turn`` is which of the measured numbers is a direction known up to half a turn, or None. Tracks begin with
    the state ``begin`` (d,) and deviations ``unknown`` (d,) in what is not measured.
    """

    parts: tuple[int, ...]
    deviation: tuple[float, ...]
    begin: tuple[float, ...]
    unknown: tuple[float, ...]
    gated: int = 2
    half_turn: int | None = None

    def predict(self, mean: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the parts (n, k), the matrix (k, d) that picks them, and the noise (k, k)."""
        h, r = _picking(self)
        return mean[:, self.parts], h, r

    def innovation(self, measured: Floats, predicted: Floats) -> Floats:
        """Return the differences, the direction's the short way round."""
        off = measured - predicted
        if self.half_turn is not None:
            off[..., self.half_turn] = wrap_half(off[..., self.half_turn])
        return off

    def birth(self, measured: Floats) -> tuple[Floats, Floats]:
        """Return states with the measured parts in place, and their covariances."""
        mean = np.tile(np.asarray(self.begin, dtype=np.float64), (len(measured), 1))
        mean[:, self.parts] = measured
        variance = np.asarray(self.unknown, dtype=np.float64) ** 2
        variance[list(self.parts)] = np.asarray(self.deviation) ** 2
        return mean, np.repeat(np.diag(variance)[None], len(measured), axis=0)


@lru_cache(maxsize=64)
def _picking(model: Position) -> tuple[Floats, Floats]:
    h = np.zeros((len(model.parts), len(model.begin)))
    h[np.arange(len(model.parts)), model.parts] = 1.0
    r = np.diag(np.asarray(model.deviation, dtype=np.float64) ** 2)
    h.flags.writeable = r.flags.writeable = False
    return h, r


_CORNERS = np.array([[0.5, 0.5, -0.5, -0.5], [0.5, -0.5, 0.5, -0.5]])  # in lengths and widths


@dataclass(frozen=True)
class Shape:
    """Where a state (x, y, vx, vy first) holds yaw, length and width: sensors see an object's near side."""

    yaw: int
    length: int
    width: int

    def reach(self, mean: Floats, bearing: Floats) -> Floats:
        """Return how far before its middle (n,) an object begins when looked at along ``bearing``."""
        lengthways, sideways = self.shares(mean, bearing)
        return lengthways * mean[:, self.length] + sideways * mean[:, self.width]

    def shares(self, mean: Floats, bearing: Floats) -> tuple[Floats, Floats]:
        """Return how much of length and width (n,) lie before the middle.

        Half of the shadow that the box throws across the line of sight's direction: at 0 and 90 degrees that is its
        face, between them its nearest corner.
        """
        turn = mean[:, self.yaw] - bearing
        return 0.5 * np.abs(np.cos(turn)), 0.5 * np.abs(np.sin(turn))

    def outline(self, mean: Floats, x: float, y: float) -> tuple[Floats, Floats]:
        """Return the bearings (n, 2) of what is seen from (x, y) farthest to the right and to the left.

        And their derivatives (n, 2, d): these are corners, and near by their middle is not the object's own.
        """
        yaw = mean[:, self.yaw, None]
        cos, sin = np.cos(yaw), np.sin(yaw)
        along, across = _CORNERS[0] * mean[:, self.length, None], _CORNERS[1] * mean[:, self.width, None]
        off_x, off_y = along * cos - across * sin, along * sin + across * cos
        dx, dy = mean[:, :1] - x, mean[:, 1:2] - y
        corner_x, corner_y = dx + off_x, dy + off_y
        away2 = np.maximum(corner_x**2 + corner_y**2, 0.25)
        middle = np.arctan2(dy, dx)
        off = wrap(np.arctan2(corner_y, corner_x) - middle)
        ends = np.stack([off.argmin(axis=1), off.argmax(axis=1)], axis=1)
        by_x, by_y = -corner_y / away2, corner_x / away2
        h = np.zeros((len(mean), 4, mean.shape[1]))
        h[:, :, 0], h[:, :, 1] = by_x, by_y
        h[:, :, self.yaw] = by_y * off_x - by_x * off_y
        h[:, :, self.length] = _CORNERS[0] * (by_x * cos + by_y * sin)
        h[:, :, self.width] = _CORNERS[1] * (by_y * cos - by_x * sin)
        rows = np.arange(len(mean))[:, None]
        return middle + off[rows, ends], h[rows, ends]

    def reflection(self, mean: Floats, bearing: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Return how far before the middle a reflection of an object looked at along ``bearing`` lies, on average.

        It comes from anywhere on the end and the side that can be seen, from either as often as its width in sight is
        large. The mean place is before the middle, on the line of sight: returned are its distance (n,), that by length
        and by width (n,) each, and the covariance (n, 2, 2) of the place. Near by a side fills much of the view,
        and what comes back from it is metres off.
        """
        yaw, length, width = mean[:, self.yaw], mean[:, self.length], mean[:, self.width]
        turn = yaw - bearing
        end, side = width * np.abs(np.cos(turn)), length * np.abs(np.sin(turn))
        both = np.maximum(end + side, 1e-9)
        ahead = np.column_stack([np.cos(yaw), np.sin(yaw)])
        left = np.column_stack([-ahead[:, 1], ahead[:, 0]])
        apart = length * np.sign(np.cos(turn)) * ahead.T / 2 + width * np.sign(np.sin(turn)) * left.T / 2
        spread = (
            _outer(ahead, side / both * length**2 / 12)
            + _outer(left, end / both * width**2 / 12)
            + _outer(apart.T, side * end / both**2)
        )
        by_length, by_width = width * end / (2 * both**2), length * side / (2 * both**2)
        return length * width / (2 * both), by_length, by_width, spread


@dataclass(frozen=True)
class Polar:
    """Range, azimuth and the range rate of the target over the ground, from a place (x, y) that looks along ``yaw``.

    States begin x, y, vx, vy. With a ``shape`` they are a reflection's, somewhere on the sides that can be seen.
    ``begin`` and ``unknown`` are as in ``Position``; the velocity across the line of sight begins unknown, along it
    as measured. A detection is taken for the mean of ``joined`` reflections.
    """

    x: float
    y: float
    yaw: float
    deviation: tuple[float, float, float]
    begin: tuple[float, ...]
    unknown: tuple[float, ...]
    shape: Shape | None = None
    joined: int = 2
    gated: int = 3

    def predict(self, mean: Floats) -> tuple[Floats, Floats, Floats]:
        """Return range, azimuth and range rate (n, 3), the Jacobian (n, 3, d) and the noise (n, 3, 3) or (3, 3)."""
        dx, dy = mean[:, 0] - self.x, mean[:, 1] - self.y
        r = np.maximum(np.hypot(dx, dy), 0.1)
        ux, uy = dx / r, dy / r
        rate = ux * mean[:, 2] + uy * mean[:, 3]
        bearing = np.arctan2(dy, dx)
        h = np.zeros((len(mean), 3, mean.shape[1]))
        h[:, 0, 0], h[:, 0, 1] = ux, uy
        h[:, 1, 0], h[:, 1, 1] = -uy / r, ux / r
        h[:, 2, 0], h[:, 2, 1] = (mean[:, 2] - rate * ux) / r, (mean[:, 3] - rate * uy) / r
        h[:, 2, 2], h[:, 2, 3] = ux, uy
        near, noise = r, np.diag(np.square(self.deviation))
        if self.shape is not None:
            reach, by_length, by_width, spread = self.shape.reflection(mean, bearing)
            near = np.maximum(r - reach, 0.1)
            of_place = h[:, :, :2] * np.stack([np.ones(len(r)), r / near, r / near], axis=1)[:, :, None]
            noise = noise + of_place @ (spread / self.joined) @ of_place.transpose(0, 2, 1)
            h[:, 0, self.shape.length], h[:, 0, self.shape.width] = -by_length, -by_width
        return np.column_stack([near, wrap(bearing - self.yaw), rate]), h, noise

    def innovation(self, measured: Floats, predicted: Floats) -> Floats:
        """Return the differences, the azimuth's the short way round."""
        off = measured - predicted
        off[..., 1] = wrap(off[..., 1])
        return off

    def birth(self, measured: Floats) -> tuple[Floats, Floats]:
        """Return states at the measured places that move along the line of sight."""
        bearing = measured[:, 1] + self.yaw
        mean, covariance = _begun(self.begin, self.unknown, len(measured))
        reach = np.zeros(len(measured)) if self.shape is None else self.shape.reach(mean, bearing)
        r = measured[:, 0] + reach
        along = np.column_stack([np.cos(bearing), np.sin(bearing)])
        mean[:, 0:2] = [self.x, self.y] + r[:, None] * along
        mean[:, 2:4] = measured[:, 2:3] * along
        deep = self.deviation[0] ** 2 + (0.0 if self.shape is None else 1.0)
        covariance[:, 0:2, 0:2] = _along(along, np.full(len(r), deep), (r * self.deviation[1]) ** 2)
        sideways = np.full(len(r), self.unknown[2] ** 2)
        covariance[:, 2:4, 2:4] = _along(along, np.full(len(r), self.deviation[2] ** 2), sideways)
        return mean, covariance


@dataclass(frozen=True)
class BearingBox:
    """A box in a picture: bearing of its middle, angle of its foot below the horizon, and its height as an angle.

    The camera is at (x, y), ``above`` the ground, and looks along ``yaw``. The height is measured as the logarithm of
    the angle's tangent, for its error is a share. Foot and height both tell the distance: the one where the ground is
    flat, the other where the object's height (state index ``height``) is known. With a ``shape`` a fourth deviation
    may be given: then the box's width is measured too, as the logarithm of its angle. ``edge_rad`` is how well two
    opposite edges are known together: of a small box it is a larger share. ``edge_share`` is how well an edge is known
    as a share of the box's size: of a large box that is more than the deviations of bearing and foot.
    States begin x, y, vx, vy.
    """

    x: float
    y: float
    above: float
    yaw: float
    deviation: tuple[float, float, float] | tuple[float, float, float, float]
    height: int
    begin: tuple[float, ...]
    unknown: tuple[float, ...]
    shape: Shape | None = None
    edge_rad: float = 0.0
    edge_share: float = 0.0

    @property
    def gated(self) -> int:
        """All that is measured: 3 numbers or 4."""
        return len(self.deviation)

    def predict(self, mean: Floats) -> tuple[Floats, Floats, Floats]:
        """Return bearing, depression, log height and, where measured, log width (n, k), Jacobian and noise."""
        dx, dy = mean[:, 0] - self.x, mean[:, 1] - self.y
        r = np.maximum(np.hypot(dx, dy), 1.0)
        ux, uy = dx / r, dy / r
        bearing = np.arctan2(dy, dx)
        near = r if self.shape is None else np.maximum(r - self.shape.reach(mean, bearing), 0.5)
        tall = np.maximum(mean[:, self.height], 0.1)
        h = np.zeros((len(mean), self.gated, mean.shape[1]))
        h[:, 0, 0], h[:, 0, 1] = -uy / r, ux / r
        steep = -self.above / (near**2 + self.above**2)
        h[:, 1, 0], h[:, 1, 1] = steep * ux, steep * uy
        h[:, 2, 0], h[:, 2, 1] = -ux / near, -uy / near
        h[:, 2, self.height] = 1 / tall
        noise = np.repeat(np.diag(np.square(self.deviation))[None], len(mean), axis=0)
        noise[:, 2, 2] += (self.edge_rad * near / tall) ** 2
        noise[:, 1, 1] += (self.edge_share * tall / near) ** 2
        predicted = [wrap(bearing - self.yaw), np.arctan2(self.above, near), np.log(tall / near)]
        if self.shape is not None:
            lengthways, sideways = self.shape.shares(mean, bearing)
            h[:, 1, self.shape.length], h[:, 1, self.shape.width] = -steep * lengthways, -steep * sideways
            h[:, 2, self.shape.length], h[:, 2, self.shape.width] = lengthways / near, sideways / near
            ends, by_state = self.shape.outline(mean, self.x, self.y)
            predicted[0], h[:, 0] = wrap(ends.mean(axis=1) - self.yaw), by_state.mean(axis=1)
            wide = np.maximum(ends[:, 1] - ends[:, 0], 1e-3)
            noise[:, 0, 0] += (self.edge_share * wide) ** 2 / 2  # two edges, halved
            if self.gated == 4:
                h[:, 3] = (by_state[:, 1] - by_state[:, 0]) / wide[:, None]
                noise[:, 3, 3] += (self.edge_rad / wide) ** 2
                predicted.append(np.log(wide))
        return np.column_stack(predicted), h, noise

    def innovation(self, measured: Floats, predicted: Floats) -> Floats:
        """Return the differences, the bearing's the short way round."""
        off = measured - predicted
        off[..., 0] = wrap(off[..., 0])
        return off

    def birth(self, measured: Floats) -> tuple[Floats, Floats]:
        """Return states at distances that foot and height tell together, each by its own accuracy."""
        mean, covariance = _begun(self.begin, self.unknown, len(measured))
        tall, tall_deviation = self.begin[self.height], self.unknown[self.height]
        by_height = tall * np.exp(-measured[:, 2])
        share = (
            self.deviation[2] ** 2 + (self.edge_rad * by_height / tall) ** 2 + (tall_deviation / tall) ** 2
        )
        height_variance = by_height**2 * share
        foot = np.maximum(measured[:, 1], 1e-3)
        by_foot = self.above / np.tan(foot)
        foot_variance = ((by_foot**2 + self.above**2) / self.above * self.deviation[1]) ** 2
        weight = height_variance / (height_variance + foot_variance)
        r = by_height + weight * (by_foot - by_height)
        variance = height_variance * foot_variance / (height_variance + foot_variance) + 1.0
        bearing = measured[:, 0] + self.yaw
        r = r if self.shape is None else r + self.shape.reach(mean, bearing)
        along = np.column_stack([np.cos(bearing), np.sin(bearing)])
        mean[:, 0:2] = [self.x, self.y] + r[:, None] * along
        covariance[:, 0:2, 0:2] = _along(along, variance, (r * self.deviation[0]) ** 2 + 0.01)
        return mean, covariance


def _begun(begin: tuple[float, ...], unknown: tuple[float, ...], count: int) -> tuple[Floats, Floats]:
    mean = np.tile(np.asarray(begin, dtype=np.float64), (count, 1))
    return mean, np.repeat(np.diag(np.square(np.asarray(unknown, dtype=np.float64)))[None], count, axis=0)


def _outer(direction: Floats, variance: Floats) -> Floats:
    """Return covariances (n, 2, 2) of these variances (n,) along directions (n, 2)."""
    return np.asarray(variance[:, None, None] * direction[:, :, None] * direction[:, None, :])


def _along(direction: Floats, lengthways: Floats, sideways: Floats) -> Floats:
    """Return covariances (n, 2, 2) with these variances along unit vectors (n, 2) and across them."""
    along = direction[:, :, None] * direction[:, None, :]
    covariance: Floats = lengthways[:, None, None] * along + sideways[:, None, None] * (np.eye(2) - along)
    return covariance
