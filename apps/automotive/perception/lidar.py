"""Laser returns become upright boxes: the ground taken away, the rest in clusters, a rectangle around each."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.automotive.messages import PointCloud
from apps.automotive.perception.detections import LidarBoxes

Points = NDArray[np.float32]


@dataclass(frozen=True)
class LidarSettings:
    """Where to look, in metres of the vehicle frame, and what makes a cluster.

    Points up to ``ground_m`` above the estimated ground belong to it; those above ``ceiling_m`` pass overhead.
    ``gap_m``: points nearer than this belong together. Boxes longer or wider than ``longest_m`` and ``widest_m``
    are walls and hedges. ``ego_m`` (rear, front, half width) is the car itself,
    ``position_m`` (x, y) where the lidar sits.
    """

    ahead_m: float = 80.0
    behind_m: float = 25.0
    beside_m: float = 30.0
    ground_m: float = 0.3
    ceiling_m: float = 3.2
    gap_m: float = 0.6
    least_points: int = 4
    lowest_m: float = 0.45
    longest_m: float = 16.0
    widest_m: float = 4.0
    ego_m: tuple[float, float, float] = (-1.3, 4.2, 1.1)
    position_m: tuple[float, float] = (1.0, 0.0)


_CAR_TOP_M = 1.65  # a rider sits higher, and his bicycle's side is as long as a car is wide
_NO_TOP_M = 12.0
"""Nearer than this the highest beam meets a truck below its top: how high it is cannot be told."""
_GROUND_CELL_M = 2.0
_STEEPEST = 0.12  # metres of ground a metre of way: 12 %, as steep as roads are built
_REACH = (((0.0, 25.0), (2, 2)), ((25.0, np.inf), (3, 2)))
"""By distance, how many cells along and across the road a point reaches: a side that is seen at a flat angle has
its points far apart, and neighbouring lanes must not join."""
_ANGLES = np.linspace(0.0, np.pi / 2, 30, endpoint=False)
_FITTED_POINTS = 48  # a rectangle's angle is as well known from so many
_NEAREST_M = 0.08  # nearer to an edge does not count for more: that is noise


class LidarDetector:
    """Finds boxes in clouds; every call stands for itself."""

    def __init__(self, settings: LidarSettings | None = None) -> None:
        self.settings = settings or LidarSettings()

    def detect(self, cloud: PointCloud) -> LidarBoxes:
        """Return the boxes of a cloud in the vehicle frame. Points that are not finite are left out."""
        points = self.obstacles(cloud)
        if len(points) < self.settings.least_points:
            return no_boxes()
        cluster = self._clusters(points)
        order = np.argsort(cluster, kind="stable")
        points, cluster = points[order], cluster[order]
        starts = np.flatnonzero(np.diff(cluster, prepend=-1))
        counts = np.diff(starts, append=len(points))
        large = counts >= self.settings.least_points
        if not large.any():
            return no_boxes()
        points = points[np.repeat(large, counts)]
        counts = counts[large]
        return completed(self._plausible(rectangles(points, counts)), self.settings.position_m)

    def obstacles(self, cloud: PointCloud) -> Points:
        """Return the points (n, 3) that stand on the ground and are near enough to matter."""
        return self._above_ground(self._near(cloud.xyz_m))

    def _near(self, xyz_m: Points) -> Points:
        x, y = xyz_m[:, 0], xyz_m[:, 1]
        s, (rear, front, side) = self.settings, self.settings.ego_m
        kept = (x > -s.behind_m) & (x < s.ahead_m) & (np.abs(y) < s.beside_m)  # NaN compares false
        kept &= ~((x > rear) & (x < front) & (np.abs(y) < side)) & np.isfinite(xyz_m[:, 2])
        return xyz_m[kept]

    def _above_ground(self, points: Points) -> Points:
        """Take the ground away: the lowest points of 2 m cells, where they fit a road's slope from their neighbours."""
        s = self.settings
        if not len(points):
            return points
        columns = int(np.ceil(2 * s.beside_m / _GROUND_CELL_M))
        rows = int(np.ceil((s.ahead_m + s.behind_m) / _GROUND_CELL_M))
        row = ((points[:, 0] + s.behind_m) / _GROUND_CELL_M).astype(np.intp)
        column = ((points[:, 1] + s.beside_m) / _GROUND_CELL_M).astype(np.intp)
        cell = np.minimum(row, rows - 1) * columns + np.minimum(column, columns - 1)
        lowest = np.full(rows * columns, np.inf, dtype=np.float32)
        np.minimum.at(lowest, cell, points[:, 2])
        level = self._level(lowest.reshape(rows, columns)).ravel()
        height = points[:, 2] - level[cell]
        return np.asarray(points[(height > s.ground_m) & (height < s.ceiling_m)])

    def _level(self, lowest: Points) -> Points:
        """Return the ground's height by cell: from the ego outwards it may not rise faster than a road does."""
        x = np.arange(lowest.shape[0])[:, None] * _GROUND_CELL_M - self.settings.behind_m
        y = np.arange(lowest.shape[1])[None] * _GROUND_CELL_M - self.settings.beside_m
        reach = 0.25 + _STEEPEST * np.hypot(x, y)
        seen = np.isfinite(lowest) & (np.abs(lowest) < reach)  # an echo from below is no ground
        level = np.where(seen, lowest, np.float32(np.inf))
        # a cell that holds no ground (all of it an object) takes the lowest around it
        kernel = np.ones((3, 3), np.uint8)
        around = cv2.erode(level, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=float("inf"))
        level = np.minimum(level, around + np.float32(_STEEPEST * _GROUND_CELL_M))
        plain = np.median(lowest[seen & (reach < 2.5)]) if (seen & (reach < 2.5)).any() else 0.0
        return np.where(np.isfinite(level), level, np.float32(plain)).astype(np.float32)

    def _clusters(self, points: Points) -> NDArray[np.int32]:
        """Return the cluster of each point: cells of half a gap that touch, seen from above."""
        s = self.settings
        cell_m = s.gap_m / 2
        shape = (int((s.ahead_m + s.behind_m) / cell_m) + 3, int(2 * s.beside_m / cell_m) + 3)
        row = ((points[:, 0] + s.behind_m) / cell_m).astype(np.intp) + 1
        column = ((points[:, 1] + s.beside_m) / cell_m).astype(np.intp) + 1
        away = np.hypot(points[:, 0], points[:, 1])
        joined = np.zeros(shape, dtype=np.uint8)
        for (near_m, far_m), reach in _REACH:
            inside = (away >= near_m) & (away < far_m)
            taken = np.zeros(shape, dtype=np.uint8)
            taken[row[inside], column[inside]] = 1
            np.maximum(joined, cv2.dilate(taken, np.ones(reach, np.uint8)), out=joined)
        _, label = cv2.connectedComponents(joined, connectivity=8)
        return np.asarray(label[row, column], dtype=np.int32)

    def _plausible(self, boxes: LidarBoxes) -> LidarBoxes:
        s, size = self.settings, boxes.size_m
        top = boxes.centre_m[:, 2] + size[:, 2] / 2
        kept = (size[:, 0] < s.longest_m) & (size[:, 1] < s.widest_m) & (top > s.lowest_m)
        return LidarBoxes(boxes.centre_m[kept], size[kept], boxes.yaw_rad[kept], boxes.points[kept])


def rectangles(points: Points, counts: NDArray[np.intp]) -> LidarBoxes:
    """Return the box around each cluster of points (n, 3); ``counts`` says how many of them, in order, are one's.

    The direction is that in which the points lie nearest to the edges of their rectangle: the closeness
    criterion of search-based L-shape fitting (Zhang et al., IEEE IV 2017), over a quarter turn.
    """
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    angle = _ANGLES[_closest(points[:, :2], starts, counts)]
    owner = np.repeat(np.arange(len(counts)), counts)
    cos, sin = np.cos(angle), np.sin(angle)
    along = cos[owner] * points[:, 0] + sin[owner] * points[:, 1]
    across = cos[owner] * points[:, 1] - sin[owner] * points[:, 0]
    low = np.stack([np.minimum.reduceat(each, starts) for each in (along, across, points[:, 2])], axis=1)
    high = np.stack([np.maximum.reduceat(each, starts) for each in (along, across, points[:, 2])], axis=1)
    middle, size = (low + high) / 2, high - low
    x, y = cos * middle[:, 0] - sin * middle[:, 1], sin * middle[:, 0] + cos * middle[:, 1]
    turned = size[:, 1] > size[:, 0]
    size[turned, :2] = size[turned, 1::-1]
    yaw = np.where(turned, angle + np.pi / 2, angle)
    yaw = (yaw + np.pi / 2) % np.pi - np.pi / 2
    return LidarBoxes(
        np.stack([x, y, middle[:, 2]], axis=1).astype(np.float64),
        size.astype(np.float64),
        yaw.astype(np.float64),
        counts.astype(np.int64),
    )


def completed(boxes: LidarBoxes, position_m: tuple[float, float]) -> LidarBoxes:
    """Return boxes in which a car or truck of which one side is seen has its other side too.

    A laser sees the rear of the car ahead, and the more of its roof the nearer it is: the middle of what is seen
    lies two metres before the car's own, and wanders. So a side as wide as a car, no higher than one, gets a car's
    length behind it, and a side as long as a car a car's width; likewise trucks, whose top the laser does not see from
    near by. What is seen stays where it is.
    """
    along = np.stack([np.cos(boxes.yaw_rad), np.sin(boxes.yaw_rad)], axis=1)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    sight = boxes.centre_m[:, :2] - position_m
    ahead_m, aside_m = np.abs((sight * along).sum(axis=1)), np.abs((sight * across).sum(axis=1))
    alongside = ahead_m <= boxes.size_m[:, 0] / 2  # nothing but its side can be seen
    deep = (ahead_m >= aside_m) & ~alongside
    axis = np.where(deep[:, None], along, across)
    depth = np.where(deep, boxes.size_m[:, 0], boxes.size_m[:, 1])
    face = np.where(deep, boxes.size_m[:, 1], boxes.size_m[:, 0])
    top = boxes.centre_m[:, 2] + boxes.size_m[:, 2] / 2
    high_enough = boxes.size_m[:, 2] > 0.7
    car = high_enough & (top < _CAR_TOP_M)
    near = high_enough & (np.hypot(sight[:, 0], sight[:, 1]) < _NO_TOP_M)
    full = depth.copy()
    for seen, low, high, least in (
        (car, 1.4, 2.2, 4.4), (car, 3.4, 5.4, 1.8),
        ((top > 2.2) | near, 2.1, 2.8, 6.5), ((top > 2.2) | near, 6.0, 14.0, 2.4),
    ):  # fmt: skip
        full = np.where(seen & (face > low) & (face < high), np.maximum(depth, least), full)
    away = np.sign((sight * axis).sum(axis=1))[:, None] * axis
    centre = boxes.centre_m.copy()
    centre[:, :2] += away * ((full - depth) / 2)[:, None]
    length, width = np.maximum(full, face), np.minimum(full, face)
    ahead = np.where((full >= face)[:, None], axis, np.stack([-axis[:, 1], axis[:, 0]], axis=1))
    yaw = np.where(full > depth, np.arctan2(ahead[:, 1], ahead[:, 0]), boxes.yaw_rad)
    yaw = (yaw + np.pi / 2) % np.pi - np.pi / 2
    return LidarBoxes(centre, np.stack([length, width, boxes.size_m[:, 2]], axis=1), yaw, boxes.points)


def _closest(xy: Points, starts: NDArray[np.intp], counts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return for each cluster which of the angles fits best."""
    step = np.maximum(1, counts // _FITTED_POINTS)
    place = np.arange(len(xy)) - np.repeat(starts, counts)
    chosen = place % np.repeat(step, counts) == 0
    owner = np.repeat(np.arange(len(counts)), counts)[chosen]
    firsts = np.flatnonzero(np.diff(owner, prepend=-1))
    x, y = xy[chosen, :1], xy[chosen, 1:]
    cos, sin = np.cos(_ANGLES).astype(np.float32), np.sin(_ANGLES).astype(np.float32)
    nearest = np.full((len(x), len(_ANGLES)), np.inf, dtype=np.float32)
    for value in (x * cos + y * sin, y * cos - x * sin):
        low = np.minimum.reduceat(value, firsts, axis=0)[owner]
        high = np.maximum.reduceat(value, firsts, axis=0)[owner]
        np.minimum(nearest, np.minimum(value - low, high - value), out=nearest)
    closeness = np.add.reduceat(1 / np.maximum(nearest, np.float32(_NEAREST_M)), firsts, axis=0)
    return np.asarray(closeness.argmax(axis=1))


def no_boxes() -> LidarBoxes:
    """Return boxes of nothing."""
    return LidarBoxes(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0), np.zeros(0, dtype=np.int64))
