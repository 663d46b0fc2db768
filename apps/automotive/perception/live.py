"""What people may look at: the camera's picture with its boxes, and what the bird's-eye view draws."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from apps.automotive.messages import CameraImage, ObjectKind, Tracks
from apps.automotive.perception.detections import CameraDetections
from apps.automotive.perception.health import Trouble
from apps.automotive.perception.perceive import Perception
from edgeai_core.vision.drawing import draw_boxes, jpeg

COLOURS = {
    ObjectKind.UNKNOWN: (160, 160, 160),
    ObjectKind.CAR: (230, 170, 60),
    ObjectKind.TRUCK: (200, 110, 200),
    ObjectKind.PEDESTRIAN: (60, 140, 255),
    ObjectKind.CYCLIST: (90, 210, 120),
}
"""By kind, blue, green and red: the page's bird's-eye view has the same."""

WIDEST_PX = 640


class LiveView:
    """Makes live values at most ``rate_hz`` times a second; 0 makes none.

    Pictures are drawn and packed by a thread of its own, out of the cycle's way: the one that is ready goes
    out with the next cycle.
    """

    def __init__(self, rate_hz: float) -> None:
        self._period_ns = round(1e9 / rate_hz) if rate_hz > 0 else None
        self._next_ns = 0
        self._drawer: _Drawer | None = None

    def take(
        self,
        now_ns: int,
        tracks: Tracks,
        troubles: Mapping[str, tuple[Trouble, ...]],
        perception: Perception,
    ) -> Mapping[str, object]:
        """Return the live values that are due at ``now_ns``, none between."""
        live: dict[str, object] = {}
        if self._drawer is not None and (picture := self._drawer.take()) is not None:
            live["camera"] = picture
        if self._period_ns is None or now_ns < self._next_ns:
            return live
        self._next_ns = max(self._next_ns + self._period_ns, now_ns)
        live["seen"] = birds_eye(tracks, troubles)
        if perception.picture is not None:
            if self._drawer is None:
                self._drawer = _Drawer()
            self._drawer.draw(perception.picture, perception.boxes)
        return live


def birds_eye(tracks: Tracks, troubles: Mapping[str, tuple[Trouble, ...]]) -> Mapping[str, object]:
    """Return tracks in the vehicle frame as plain values: what the page draws.

    ``ellipse`` is the 95 % ellipse of position: half axes in metres, and the direction of the first.
    """
    ego = tracks.ego
    cos, sin = np.cos(ego.yaw_rad), np.sin(ego.yaw_rad)
    turn = np.array([[cos, sin], [-sin, cos]])
    position = (tracks.position_m - [ego.x_m, ego.y_m]) @ turn.T
    velocity = tracks.velocity_mps @ turn.T
    rows = []
    for at in range(len(tracks.id)):
        covariance = turn @ tracks.covariance[at, :2, :2] @ turn.T
        spread, axes = np.linalg.eigh(np.nan_to_num(covariance))
        half = np.sqrt(5.991 * np.clip(spread[::-1], 0, 1e4))  # chi-square, 2 degrees of freedom, 95 %
        rows.append(
            {
                "id": int(tracks.id[at]),
                "kind": ObjectKind(int(tracks.kind[at])).name.lower(),
                "x_m": _short(position[at, 0]),
                "y_m": _short(position[at, 1]),
                "vx_mps": _short(velocity[at, 0]),
                "vy_mps": _short(velocity[at, 1]),
                "yaw_rad": _short(tracks.yaw_rad[at] - ego.yaw_rad, 3),
                "length_m": _short(tracks.size_m[at, 0]),
                "width_m": _short(tracks.size_m[at, 1]),
                "ellipse": [_short(half[0]), _short(half[1]), _short(np.arctan2(axes[1, 1], axes[0, 1]), 3)],
                "existence": _short(tracks.existence[at]),
                "confirmed": bool(tracks.confirmed[at]),
            }
        )
    return {
        "ego": {
            "x_m": _short(ego.x_m),
            "y_m": _short(ego.y_m),
            "yaw_rad": _short(ego.yaw_rad, 4),
            "speed_mps": _short(ego.speed_mps),
        },
        "tracks": rows,
        "sensors": {sensor: [str(each) for each in found] for sensor, found in troubles.items()},
        "sensors_lost": list(tracks.sensors_lost),
    }


@dataclass
class _Work:
    image: CameraImage
    boxes: CameraDetections | None


class _Drawer:
    """A thread that draws the newest picture it was given; older ones that wait are passed over."""

    def __init__(self) -> None:
        self._work: _Work | None = None
        self._done: bytes | None = None
        self._ready = threading.Condition()
        self._over = False
        self._thread = threading.Thread(target=self._run, name="live-view", daemon=True)
        self._thread.start()
        atexit.register(
            self.close
        )  # a thread that is in OpenCV when the interpreter goes takes the process with it

    def draw(self, image: CameraImage, boxes: CameraDetections | None) -> None:
        with self._ready:
            self._work = _Work(image, boxes)
            self._ready.notify()

    def close(self) -> None:
        with self._ready:
            self._over = True
            self._ready.notify()
        self._thread.join(1.0)

    def take(self) -> bytes | None:
        """Return the picture that is ready, once."""
        with self._ready:
            done, self._done = self._done, None
            return done

    def _run(self) -> None:
        while True:
            with self._ready:
                while self._work is None and not self._over:
                    self._ready.wait()
                work, self._work = self._work, None
            if work is None:
                return
            done = camera_picture(work.image, work.boxes)
            with self._ready:
                self._done = done


def camera_picture(image: CameraImage, boxes: CameraDetections | None) -> bytes:
    """Return the picture with its boxes as a JPEG of at most ``WIDEST_PX`` columns."""
    pixels = image.pixels
    scale = min(1.0, WIDEST_PX / pixels.shape[1])
    if scale < 1:
        pixels = np.asarray(
            cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), dtype=np.uint8
        )
    if boxes is None:
        return jpeg(pixels)
    kinds = [ObjectKind(int(kind)) for kind in boxes.kind]
    labels = [f"{kind.name.lower()} {score:.2f}" for kind, score in zip(kinds, boxes.score, strict=True)]
    return jpeg(draw_boxes(pixels, boxes.box_px * scale, labels, [COLOURS[kind] for kind in kinds]))


def _short(value: float, places: int = 2) -> float | None:
    """Return a number short enough to send; None where it is none."""
    return round(float(value), places) if np.isfinite(value) else None
