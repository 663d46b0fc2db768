"""The simulated camera: things are where perspective puts them, and look different in other light."""

from __future__ import annotations

import numpy as np
import pytest

from apps.automotive.messages import ObjectKind
from apps.automotive.simulation.camera import Camera
from apps.automotive.simulation.optics import CameraGeometry, Look
from apps.automotive.simulation.scene import Scene
from apps.automotive.simulation.variety import random_scene

CLEAR = Look(noise=0.0, blur_px=0.0, visibility_m=1e6)


def camera(look: Look = CLEAR, geometry: CameraGeometry | None = None) -> Camera:
    return Camera(np.random.default_rng(1), geometry, look)


@pytest.mark.parametrize(
    "kind", [ObjectKind.CAR, ObjectKind.TRUCK, ObjectKind.PEDESTRIAN, ObjectKind.CYCLIST]
)
def test_a_label_is_the_projection_of_the_object(scene_of, kind: ObjectKind) -> None:
    scene = scene_of((kind, 20.0, 2.0, 0.0, 0.0))
    _, labels = camera().render_labelled(scene)
    half = np.array([scene.object_length_m[0], scene.object_width_m[0]]) / 2
    corners = np.array(
        [
            [a, b, z]
            for a in (-half[0], half[0])
            for b in (-half[1], half[1])
            for z in (0, scene.object_height_m[0])
        ]
    )
    corners[:, :2] += [20.0, 2.0]
    pixels = np.column_stack([corners, np.ones(8)]) @ CameraGeometry().projection.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    wanted = np.concatenate([pixels.min(axis=0), pixels.max(axis=0)])
    size = wanted[2:] - wanted[:2]
    np.testing.assert_allclose(labels.box_px[0], wanted, atol=0.25 * size.max() + 2)
    np.testing.assert_allclose(labels.box_px[0, 3], wanted[3], atol=4)  # where it stands on the ground
    assert labels.visible[0] > 0.95
    assert labels.kind.tolist() == [kind]


def test_an_object_shows_in_the_pixels_of_its_label_and_only_there(scene_of) -> None:
    empty = camera().render(scene_of()).pixels.astype(int)
    image, labels = camera().render_labelled(scene_of((ObjectKind.CAR, 15.0, 0.0, 0.0, 0.0)))
    changed = np.abs(image.pixels.astype(int) - empty).max(axis=2) > 25
    left, top, right, bottom = np.rint(labels.box_px[0]).astype(int)
    assert changed[top:bottom, left:right].mean() > 0.6
    assert changed[: top - 2].sum() == 0
    assert changed[:, : left - 120].sum() == 0


def test_what_stands_behind_a_truck_is_hidden(scene_of) -> None:
    behind = (ObjectKind.CAR, 40.0, 0.0, 0.0, 0.0)
    _, labels = camera().render_labelled(scene_of(behind, (ObjectKind.TRUCK, 20.0, 0.0, 0.0, 0.0)))
    visible = dict(zip(labels.object_id.tolist(), labels.visible.tolist(), strict=True))
    assert visible[1] < 0.1
    assert visible[2] > 0.95


def test_what_is_behind_the_ego_or_far_aside_has_no_label(scene_of) -> None:
    scene = scene_of((ObjectKind.CAR, -10.0, 0.0, 0.0, 0.0), (ObjectKind.CAR, 10.0, 60.0, 0.0, 0.0))
    _, labels = camera().render_labelled(scene)
    assert len(labels.kind) == 0


def test_a_car_passing_at_arms_length_is_cut_at_the_pictures_edge(scene_of) -> None:
    image, labels = camera().render_labelled(scene_of((ObjectKind.CAR, 4.5, 2.2, 0.0, 0.0)))
    assert image.pixels.shape == (360, 640, 3)
    assert labels.box_px[0, 0] == 0.0
    assert 0.0 < labels.visible[0] < 1.0


def test_the_same_seed_gives_the_same_picture_and_another_light_another(scene_of) -> None:
    scene = scene_of((ObjectKind.CAR, 15.0, 0.0, 0.0, 5.0))
    look = Look(noise=4.0)
    first, again = (Camera(np.random.default_rng(3), look=look).render(scene).pixels for _ in range(2))
    assert (first == again).all()
    dusk = Camera(np.random.default_rng(3), look=Look(noise=4.0, exposure=0.4)).render(scene).pixels
    assert dusk.mean() < 0.6 * first.mean()
    assert not first.flags.writeable


def test_the_ground_moves_under_the_car(scene_of) -> None:
    eye = camera()
    here = eye.render(scene_of()).pixels[220:].astype(int)
    there = eye.render(scene_of(x_m=0.7)).pixels[220:].astype(int)
    assert np.abs(here - there).mean() > 2


def test_scenes_of_every_kind_are_rendered() -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        scene: Scene = random_scene(rng)
        image, labels = Camera(rng, look=Look.random(rng)).render_labelled(scene)
        width, height = 640, 360
        assert image.pixels.shape == (height, width, 3)
        assert (labels.box_px[:, :2] <= labels.box_px[:, 2:]).all()
        assert (labels.box_px >= 0).all()
        assert (labels.box_px <= [width, height, width, height]).all()
        assert np.isin(labels.object_id, scene.object_id).all()
