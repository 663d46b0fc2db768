"""A simulated camera: the scene in perspective, with light, haze, blur and noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.automotive.messages import CameraImage, Floats, ObjectKind
from apps.automotive.simulation import scenery
from apps.automotive.simulation.bodies import Body, Limbs, cyclist, pedestrian, thing, vehicle
from apps.automotive.simulation.optics import CameraGeometry, Look
from apps.automotive.simulation.polygons import NEAR_M, SHIFT, in_fixed_point, near_part
from apps.automotive.simulation.scene import Road, Scene
from apps.automotive.simulation.silhouettes import Labels, Silhouettes

FAR_M = 140.0
DECOR_M = 90.0
"""What stands beside the road is painted up to here, its details up to half of it: a window there is a pixel."""

_PLAIN = 5  # the first so many polygons of a house are its walls


class Camera:
    """Renders scenes. The same ``rng`` gives the same surroundings, and the same noise in the same order."""

    def __init__(
        self,
        rng: np.random.Generator,
        geometry: CameraGeometry | None = None,
        look: Look | None = None,
    ) -> None:
        self.geometry = geometry or CameraGeometry()
        self.look = look or Look()
        self._rng = rng
        self._world_seed = int(rng.integers(1 << 30))
        height, width = self.geometry.height_px, self.geometry.width_px
        self._horizon = int(np.clip(np.ceil(self.geometry.horizon_px), 1, height - 2))
        self._texture = scenery.ground_texture(rng)
        self._panorama = scenery.sky_panorama(rng, 1440, 240)
        self._grass = np.array([55.0, 95.0, 85.0]) * rng.uniform(0.7, 1.3) + rng.uniform(-20, 20, 3)
        self._asphalt = np.full(3, rng.uniform(75, 130)) + rng.uniform(-6, 6, 3)
        self._haze = np.array([215.0, 205.0, 195.0])
        self._fade = self._row_fade()
        grain = rng.standard_normal((height + 64, width + 64, 3), dtype=np.float32)
        self._grain = np.clip(128 + self.look.noise * grain, 0, 255).astype(np.uint8)
        self._lens = self._falloff()
        self._road: Road | None = None
        self._bodies: dict[int, Body] = {}

    def prepare(self, scene: Scene) -> None:
        """Build road, surroundings and road users, which the first pictures would have to."""
        self._pave(scene.road)
        for index in range(len(scene.object_id)):
            self._body(scene, index)

    def render(self, scene: Scene) -> CameraImage:
        """Return the picture of a scene; its pixels are read-only."""
        return CameraImage(self._picture(scene, None))

    def render_labelled(self, scene: Scene) -> tuple[CameraImage, Labels]:
        """Return the picture with the boxes of what is to be seen in it."""
        silhouettes = Silhouettes(self.geometry.height_px, self.geometry.width_px)
        pixels = self._picture(scene, silhouettes)
        return CameraImage(pixels), silhouettes.labels(scene)

    def _picture(self, scene: Scene, silhouettes: Silhouettes | None) -> NDArray[np.uint8]:
        if scene.road is not self._road:
            self._pave(scene.road)
        to_pixels = self.geometry.projection @ _ground_to_vehicle(scene)
        canvas = np.empty((self.geometry.height_px, self.geometry.width_px, 3), dtype=np.uint8)
        self._paint_sky(canvas, scene.yaw_rad)
        self._paint_ground(canvas, scene, to_pixels)
        self._paint_objects(canvas, scene, silhouettes)
        return self._develop(canvas)

    def _pave(self, road: Road) -> None:
        """Prepare what stands still on and beside a road."""
        self._road = road
        self._surface, self._lines = scenery.marks(road)
        self._decor = scenery.decor(road, np.random.default_rng(self._world_seed))

    def _paint_sky(self, canvas: NDArray[np.uint8], yaw_rad: float) -> None:
        height, width = self._panorama.shape[:2]
        span = 2 * np.arctan(self.geometry.width_px / 2 / self.geometry.focal_px) / (2 * np.pi) * width
        left = round((-yaw_rad / (2 * np.pi)) * width - span / 2) % width
        columns = np.arange(left, left + round(span)) % width
        rows = max(2, round(self._horizon / self.geometry.focal_px * width / (2 * np.pi)))
        view = self._panorama[max(0, height - rows) :, columns]
        canvas[: self._horizon] = cv2.resize(view, (self.geometry.width_px, self._horizon))

    def _paint_ground(self, canvas: NDArray[np.uint8], scene: Scene, to_pixels: Floats) -> None:
        first = self._horizon
        ground = canvas[first:]
        ground[:] = self._grass
        self._fill_ground(canvas, _near(self._surface, scene), to_pixels, self._asphalt)
        self._fill_ground(canvas, _near(self._lines, scene), to_pixels, np.full(3, 215.0))
        tile_m = scenery.TEXTURE_PX / scenery.TEXTURE_PX_PER_M
        cos, sin = np.cos(scene.yaw_rad), np.sin(scene.yaw_rad)
        pose = np.array([[cos, -sin, scene.x_m % tile_m], [sin, cos, scene.y_m % tile_m], [0, 0, 1.0]])
        to_ground = pose @ np.linalg.inv(self.geometry.projection[:, [0, 1, 3]])
        rows = (first, self.geometry.height_px)
        bright = scenery.warped_texture(self._texture, to_ground, self.geometry.width_px, rows)
        cv2.multiply(bright, self._fade, dst=bright, scale=1 / 255)
        cv2.add(bright, self._fade_rest, dst=bright)
        self._paint_shadows(bright, scene, to_pixels)
        cv2.multiply(ground, cv2.merge([bright, bright, bright]), dst=ground, scale=1 / 128)
        if not self._hazy_rows:
            return
        hazy = ground[: self._hazy_rows]
        hazy[:] = cv2.add(cv2.multiply(hazy, self._keep_rows, scale=1 / 255), self._haze_rows)

    def _fill_ground(
        self, canvas: NDArray[np.uint8], polygons: Floats, to_pixels: Floats, colour: Floats
    ) -> None:
        """Fill polygons (n, corners, 2) of the ground frame."""
        points = polygons @ to_pixels[:, :2].T + to_pixels[:, 3]
        whole = (points[..., 2] > NEAR_M).all(axis=1)
        drawn = list(in_fixed_point(points[whole][..., :2] / points[whole][..., 2:]))
        drawn += [in_fixed_point(cut) for each in points[~whole] if len(cut := near_part(each)) >= 3]
        if drawn:
            cv2.fillPoly(canvas, drawn, colour.tolist(), cv2.LINE_AA, SHIFT)

    def _paint_shadows(self, bright: NDArray[np.uint8], scene: Scene, to_pixels: Floats) -> None:
        """Darken the ground under and beside what stands on it, away from the sun."""
        if not len(scene.object_id):
            return
        away = -np.array([np.cos(self.look.sun_azimuth_rad), np.sin(self.look.sun_azimuth_rad)])
        reach = min(1.5, 0.5 / np.tan(self.look.sun_elevation_rad))
        depth = 0.75 - 0.4 * (1 - self.look.ambient)
        for index in np.flatnonzero(_in_reach(scene)):
            half = np.array([scene.object_length_m[index], scene.object_width_m[index]]) / 2
            cos, sin = np.cos(scene.object_yaw_rad[index]), np.sin(scene.object_yaw_rad[index])
            turn = np.array([[cos, -sin], [sin, cos]])
            place = np.array([scene.object_x_m[index], scene.object_y_m[index]])
            base = (np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * half) @ turn.T + place
            long = base + away * reach * scene.object_height_m[index]
            hull = cv2.convexHull(np.concatenate([base, long]).astype(np.float32))[:, 0]
            clipped = near_part(hull @ to_pixels[:, :2].T + to_pixels[:, 3])
            if len(clipped) >= 3:
                polygon = in_fixed_point(clipped - [0, self._horizon])
                cv2.fillConvexPoly(bright, polygon, round(128 * depth), cv2.LINE_AA, SHIFT)

    def _paint_objects(
        self, canvas: NDArray[np.uint8], scene: Scene, silhouettes: Silhouettes | None
    ) -> None:
        """Paint decor and objects, the farthest first."""
        visible = np.flatnonzero(_in_reach(scene))
        middles = scene.object_positions_m()[visible]
        decor = self._decor
        dx, dy = decor.x_m - scene.x_m, decor.y_m - scene.y_m
        cos, sin = np.cos(scene.yaw_rad), np.sin(scene.yaw_rad)
        ahead, left = cos * dx + sin * dy, cos * dy - sin * dx
        seen = np.flatnonzero(
            (ahead > 1.0)
            & (ahead < DECOR_M)
            & (np.abs(left) < 1.1 * self._half_width(ahead) + decor.reach_m + 3)
        )
        distances = np.concatenate([np.hypot(*middles.T), np.hypot(ahead[seen], left[seen])])
        for at in np.argsort(-distances):
            if at < len(visible):
                index = int(visible[at])
                pose = (*middles[at], scene.object_yaw_rad[index] - scene.yaw_rad)
                body = self._body(scene, index)
                paint = None if silhouettes is None else (silhouettes, index)
                self._paint(canvas, body, pose, scene.yaw_rad, paint)
            else:
                index = int(seen[at - len(visible)])
                pose = (ahead[index], left[index], decor.yaw_rad[index] - scene.yaw_rad)
                paint = None if silhouettes is None else (silhouettes, -1)
                body = decor.bodies[index]
                if isinstance(body, Body) and ahead[index] > DECOR_M / 2:
                    body = body.first(_PLAIN)
                self._paint(canvas, body, pose, scene.yaw_rad, paint, cv2.LINE_8)

    def _half_width(self, ahead_m: Floats) -> Floats:
        return ahead_m * self.geometry.width_px / 2 / self.geometry.focal_px

    def _body(self, scene: Scene, index: int) -> Body | Limbs:
        number, kind = int(scene.object_id[index]), ObjectKind(int(scene.object_kind[index]))
        size = (
            float(scene.object_length_m[index]),
            float(scene.object_width_m[index]),
            float(scene.object_height_m[index]),
        )
        speed, look = float(scene.object_speed_mps[index]), number ^ self._world_seed
        if kind is ObjectKind.PEDESTRIAN:
            phase = 2 * np.pi * scene.time_s * (0.4 + 0.9 * min(abs(speed), 3.0) / 1.4) / 1.3 + number
            return pedestrian(size[2], phase, min(1.0, abs(speed) / 1.2), look)
        if kind is ObjectKind.CYCLIST:
            return cyclist(size[0], size[2], speed * scene.time_s / 0.9 + number, look)
        key = hash((number, size))
        if key not in self._bodies:
            if len(self._bodies) > 500:
                self._bodies.clear()
            self._bodies[key] = (
                thing(*size, look) if kind is ObjectKind.UNKNOWN else vehicle(kind, *size, look)
            )
        return self._bodies[key]

    def _paint(
        self,
        canvas: NDArray[np.uint8],
        body: Body | Limbs,
        pose: tuple[float, float, float],
        yaw_rad: float,
        labelled: tuple[Silhouettes, int] | None,
        edges: int = cv2.LINE_AA,
    ) -> None:
        """Paint one thing at a pose (x, y, yaw) in the vehicle frame."""
        x, y, turn = pose
        cos, sin = np.cos(turn), np.sin(turn)
        to_vehicle = np.array([[cos, -sin, 0, x], [sin, cos, 0, y], [0, 0, 1, 0], [0, 0, 0, 1.0]])
        to_pixels = self.geometry.projection @ to_vehicle
        keep = float(np.exp(-3.0 * max(np.hypot(x, y), 1.0) / self.look.visibility_m))
        if isinstance(body, Limbs):
            points = body.ends_m @ to_pixels[:, :3].T + to_pixels[:, 3]
            if points[..., 2].min() < NEAR_M:
                return
            px = points[..., :2] / points[..., 2:]
            thick = 2 * body.radii_m * self.geometry.focal_px / points[:, :, 2].mean(axis=1)
            colours = self._lit(body.colours, np.full(len(px), 0.6), keep)
            strokes = [
                (tuple(a), tuple(b), max(1, round(t)), colour)
                for (a, b), t, colour in zip(
                    np.rint(px * (1 << SHIFT)).astype(int).tolist(), thick.tolist(), colours, strict=True
                )
            ]
            for a, b, width, colour in strokes:
                cv2.line(canvas, a, b, colour, width, edges, SHIFT)
            if labelled is not None:
                labelled[0].strokes(strokes, labelled[1])
            return
        sun = self.look.sun_azimuth_rad - yaw_rad - turn
        flat = np.cos(self.look.sun_elevation_rad)
        light = np.array([flat * np.cos(sun), flat * np.sin(sun), np.sin(self.look.sun_elevation_rad)])
        eye = np.array(self.geometry.position_m) - [x, y, 0.0]
        eye = np.array([cos * eye[0] + sin * eye[1], cos * eye[1] - sin * eye[0], eye[2]])
        front = ((eye - body.corners_m[:, 0]) * body.normals).sum(axis=1) > 0
        ambient = self.look.ambient
        shade = ambient + (1 - ambient) * np.clip(body.normals @ light, 0, 1) + 0.08 * body.normals[:, 2]
        shade = np.maximum(shade, body.shine)
        colours = self._lit(body.colours, shade, keep)
        points = body.corners_m @ to_pixels[:, :3].T + to_pixels[:, 3]
        whole = points[..., 2].min(axis=1) > NEAR_M
        fixed = in_fixed_point(points[..., :2] / np.maximum(points[..., 2:], NEAR_M))
        drawn = []
        for index in np.flatnonzero(front):
            polygon = fixed[index]
            if not whole[index]:
                clipped = near_part(points[index])
                if len(clipped) < 3:
                    continue
                polygon = in_fixed_point(clipped)
            cv2.fillConvexPoly(canvas, polygon, colours[index], edges, SHIFT)
            drawn.append(polygon)
        if labelled is not None and drawn:
            labelled[0].polygons(drawn, labelled[1])

    def _lit(self, colours: Floats, shade: Floats, keep: float) -> list[list[float]]:
        lit = np.minimum(colours * shade[:, None], 255.0)
        return (keep * lit + (1 - keep) * self._haze).tolist()  # type: ignore[no-any-return]

    def _develop(self, canvas: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Lens, exposure and noise."""
        if self.look.blur_px > 0.2:
            canvas = cv2.GaussianBlur(canvas, (0, 0), self.look.blur_px)  # type: ignore[assignment]
        canvas = cv2.multiply(canvas, self._lens, scale=self.look.exposure / 255)  # type: ignore[assignment]
        top, left = self._rng.integers(0, 64, 2)
        grain = self._grain[top : top + canvas.shape[0], left : left + canvas.shape[1]]
        canvas = cv2.addWeighted(canvas, 1.0, grain, 1.0, -128.0)  # type: ignore[assignment]
        canvas.flags.writeable = False
        return canvas

    def _row_fade(self) -> NDArray[np.uint8]:
        """How much of texture and of haze each row of the ground shows; the far ground is even and hazy."""
        rows = np.arange(self._horizon, self.geometry.height_px)
        below = np.arctan((rows - (self.geometry.height_px - 1) / 2) / self.geometry.focal_px)
        angle = np.maximum(below + self.geometry.pitch_rad, 1e-3)
        distance = self.geometry.position_m[2] / np.tan(angle)
        texture = np.rint(255 * np.exp(-distance / 25.0))[:, None] * np.ones(self.geometry.width_px)
        self._fade_rest = np.rint(128 * (1 - texture / 255)).astype(np.uint8)
        keep = np.exp(-3.0 * distance / self.look.visibility_m)
        self._hazy_rows = int(np.count_nonzero(keep < 0.97))
        wide = np.ones((self._hazy_rows, self.geometry.width_px, 3))
        kept = keep[: self._hazy_rows, None, None] * wide
        self._keep_rows = np.rint(255 * kept).astype(np.uint8)
        self._haze_rows = np.rint((1 - kept) * self._haze).astype(np.uint8)
        return np.asarray(texture, dtype=np.uint8)

    def _falloff(self) -> NDArray[np.uint8]:
        y, x = np.mgrid[-1 : 1 : self.geometry.height_px * 1j, -1 : 1 : self.geometry.width_px * 1j]
        gain = 1 - self.look.vignette * (x**2 + y**2) / 2
        return np.repeat(np.rint(255 * gain).astype(np.uint8)[..., None], 3, axis=2)


def _ground_to_vehicle(scene: Scene) -> Floats:
    """Return the (4, 4) matrix that takes homogeneous points of the ground frame to the vehicle frame."""
    cos, sin = np.cos(scene.yaw_rad), np.sin(scene.yaw_rad)
    x, y = scene.x_m, scene.y_m
    return np.array(
        [[cos, sin, 0, -cos * x - sin * y], [-sin, cos, 0, sin * x - cos * y], [0, 0, 1, 0], [0, 0, 0, 1.0]]
    )


def _in_reach(scene: Scene) -> NDArray[np.bool_]:
    """Which objects may be in the picture."""
    middle = scene.object_positions_m()
    half = scene.object_length_m / 2
    return (
        (middle[:, 0] + half > 1.0)
        & (middle[:, 0] < FAR_M)
        & (np.abs(middle[:, 1]) < middle[:, 0] + half + 12)
    )


def _near(polygons: Floats, scene: Scene) -> Floats:
    """Return the polygons (n, corners, 2) that are near enough to be seen, and not behind."""
    away = polygons[:, 0] - [scene.x_m, scene.y_m]
    ahead = away @ [np.cos(scene.yaw_rad), np.sin(scene.yaw_rad)]
    return polygons[(ahead > -12) & (ahead < FAR_M)]
