"""What perception costs, each detector beside a peer in the same run; and, on KITTI frames, what it says.

    python -m benchmarks.perception [--rounds 60]
    python -m benchmarks.perception --kitti DIR --model yolox-nano [--picture OUT.png]

All on one thread. Without data: the shipped detector (beside YOLOX-Nano where that was fetched), lidar clustering
beside scikit-learn's DBSCAN on the very same points, radar, and what the simulated sensors cost. With ``--kitti``
(a raw drive, or a flat folder of it): the car ahead in every frame, its distance by the camera alone against its
distance in the laser scan, which perception is not shown. ``--picture`` draws the last frame with boxes and the view
from above; KITTI's pictures are for non-commercial use (CC BY-NC-SA 3.0), so keep it to yourself.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from sklearn.cluster import DBSCAN

from apps.automotive.messages import ObjectKind, Odometry, PointCloud
from apps.automotive.perception.camera import CameraDetector
from apps.automotive.perception.config import PerceptionConfig
from apps.automotive.perception.kitti_drive import KittiDrive
from apps.automotive.perception.lidar import LidarDetector
from apps.automotive.perception.live import COLOURS, camera_picture
from apps.automotive.perception.loop import detector_model
from apps.automotive.perception.perceive import Perception
from apps.automotive.perception.radar import RadarDetector
from apps.automotive.simulation.camera import Camera
from apps.automotive.simulation.lidar import Lidar
from apps.automotive.simulation.radar import Radar
from apps.automotive.simulation.variety import random_scene
from edgeai_core.errors import InputError, ModelError
from edgeai_core.runners.onnx import OnnxRunner
from edgeai_core.sample import Sample

LANE_M = 1.6
"""What is ahead: a box whose middle is no further from the car's own line."""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=60, help="calls of each case (default 60)")
    parser.add_argument("--kitti", type=Path, help="a KITTI raw drive, or a flat folder of one")
    parser.add_argument("--model", default="road", help="the camera's detector: road, yolox-nano or a path")
    parser.add_argument("--picture", type=Path, help="draw the last frame of the drive there")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.kitti is None:
        print_costs(options.rounds)
    else:
        print_car_ahead(options.kitti, options.model, options.picture)


def print_costs(rounds: int) -> None:
    """Print the median cost of each part on a simulated scene; cases take turns, so that all share the machine."""
    rng = np.random.default_rng(1)
    scene = random_scene(rng)
    camera, lidar, radar = Camera(rng), Lidar(rng), Radar(rng)
    image, cloud, scan = camera.render(scene), lidar.scan(scene), radar.scan(scene)
    boxer = LidarDetector()
    obstacles = boxer.obstacles(cloud)
    cases: dict[str, Callable[[], object]] = {
        "camera: detector `road`": lambda: roads.detect(image.pixels),
        f"lidar: ground, clusters, boxes ({len(cloud.xyz_m):,} points)": lambda: boxer.detect(cloud),
        f"  peer: DBSCAN of its {len(obstacles):,} obstacle points": lambda: DBSCAN(0.6, min_samples=4).fit(
            obstacles[:, :2]
        ),
        f"radar: ego motion, moving, groups ({len(scan.range_m)} detections)": lambda: RadarDetector().detect(
            scan, Odometry(speed_mps=10.0)
        ),
        "simulated camera, 640 x 360": lambda: camera.render(scene),
        f"simulated lidar, {lidar.model.beams} x {lidar.model.steps} rays": lambda: lidar.scan(scene),
        "simulated radar": lambda: radar.scan(scene),
    }
    roads = CameraDetector(OnnxRunner(*detector_model("road")))
    try:
        nano = CameraDetector(OnnxRunner(*detector_model("yolox-nano")))
        cases["  peer: YOLOX-Nano, 416 x 416"] = lambda: nano.detect(image.pixels)
    except ModelError:
        print("(YOLOX-Nano is not here; `edgeai model fetch yolox-nano` gets it)")
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(rounds + 3):
        for name, call in cases.items():
            start_s, cpu_s = time.perf_counter(), time.thread_time()
            call()
            if turn >= 3:
                taken[name].append(time.perf_counter() - start_s)
                taken.setdefault(name + "/cpu", []).append(time.thread_time() - cpu_s)
    print(f"{len(scene.object_id)} objects; {rounds} calls each, one thread\n")
    print("| part | median ms | 90 % ms | CPU ms |\n|---|---|---|---|")
    for name in cases:
        wall, cpu = np.array(taken[name]) * 1e3, np.array(taken[name + "/cpu"]) * 1e3
        print(f"| {name} | {np.median(wall):.2f} | {np.percentile(wall, 90):.2f} | {np.median(cpu):.2f} |")


def print_car_ahead(folder: Path, model: str, picture: Path | None) -> None:
    """Print, frame by frame, how far the car ahead is by the tracks of the camera alone and by the laser."""
    drive = KittiDrive(folder)
    config = PerceptionConfig(source="kitti", path=folder, model=model)
    alone = Perception(config, ("camera",), detector_model(model))
    everything = Perception(config, ("camera", "lidar"), detector_model(model))
    rows = []
    print("| frame | laser m | camera alone m | camera and laser m |\n|---|---|---|---|")
    for number, time_s in enumerate(drive.times_s(drive.pictures)):
        time_ns = round(float(time_s) * 1e9) + 1
        image, cloud = drive.picture(number), drive.scan(number)
        for perception in (alone, everything):
            perception.take("camera", (Sample(image, time_ns, time_ns),), time_ns, lambda _: True)
        everything.take("lidar", (Sample(cloud, time_ns, time_ns),), time_ns, None)
        row = (laser_ahead(cloud), *(track_ahead(each, time_ns) for each in (alone, everything)))
        rows.append(row)
        print(f"| {number} | " + " | ".join("-" if each is None else f"{each:.1f}" for each in row) + " |")
    both = np.array([[a, b] for a, b, _ in rows if a is not None and b is not None])
    seen = [number for number, row in enumerate(rows) if row[1] is not None]
    fused = [number for number, row in enumerate(rows) if row[2] is not None]
    print(
        f"\ntracked by the camera alone in {len(seen)} of {len(rows)} frames, first in {seen[0] if seen else '-'};"
    )
    print(f"by camera and laser in {len(fused)}, first in {fused[0] if fused else '-'}")
    if len(both):
        off = both[:, 1] / both[:, 0] - 1
        print(
            f"distance by the camera alone against the laser, n = {len(both)}: median error "
            f"{100 * np.median(off):+.1f} %, median absolute {100 * np.median(np.abs(off)):.1f} %, "
            f"largest {100 * np.abs(off).max():.1f} %"
        )
    if picture is not None:
        draw(everything, time_ns, cloud, picture)
        print(f"drawn: {picture} (KITTI, CC BY-NC-SA 3.0: not for publication)")


def laser_ahead(cloud: PointCloud) -> float | None:
    """Return the distance to the near side of the nearest box ahead that is as large as a car, in the vehicle frame."""
    boxes = LidarDetector().detect(cloud)
    ahead = (np.abs(boxes.centre_m[:, 1]) < LANE_M) & (boxes.centre_m[:, 0] > 5)
    ahead &= (boxes.size_m[:, :2].max(axis=1) > 1.2) & (boxes.points >= 20)
    if not ahead.any():
        return None
    reach = (
        np.abs(np.cos(boxes.yaw_rad)) * boxes.size_m[:, 0]
        + np.abs(np.sin(boxes.yaw_rad)) * boxes.size_m[:, 1]
    )
    return float((boxes.centre_m[:, 0] - reach / 2)[ahead].min())


def track_ahead(perception: Perception, time_ns: int) -> float | None:
    """Return the distance to the near side of the nearest track ahead, in the vehicle frame."""
    tracks = perception.tracks(time_ns)
    cos, sin = np.cos(tracks.ego.yaw_rad), np.sin(tracks.ego.yaw_rad)
    away = tracks.position_m - [tracks.ego.x_m, tracks.ego.y_m]
    x, y = away @ [cos, sin], away @ [-sin, cos]
    ahead = (np.abs(y) < LANE_M) & (x > 5)
    return float((x - tracks.size_m[:, 0] / 2)[ahead].min()) if ahead.any() else None


def draw(perception: Perception, time_ns: int, cloud: PointCloud, path: Path) -> None:
    """Draw the picture with its boxes, and under it points and tracks seen from above: 14 pixels a metre."""
    assert perception.picture is not None
    raw = np.frombuffer(camera_picture(perception.picture, perception.boxes), dtype=np.uint8)
    camera = cv2.imdecode(raw, cv2.IMREAD_COLOR)
    width, depth_m, scale = camera.shape[1], 45, 14
    above = np.full((depth_m * scale, width, 3), 24, dtype=np.uint8)

    def place(xy_m: np.ndarray) -> np.ndarray:
        pixels = np.stack([width / 2 - xy_m[:, 1] * scale, above.shape[0] - xy_m[:, 0] * scale], axis=1)
        return np.rint(pixels).astype(np.int32)

    points = place(cloud.xyz_m[cloud.xyz_m[:, 2] > 0.3].astype(float))
    inside = ((points >= 0) & (points < [width, above.shape[0]])).all(axis=1)
    above[points[inside, 1], points[inside, 0]] = (150, 150, 150)
    tracks = perception.tracks(time_ns)
    for at in np.flatnonzero(tracks.existence > 0.1):
        length, wide = tracks.size_m[at, :2]
        cos, sin = np.cos(tracks.yaw_rad[at]), np.sin(tracks.yaw_rad[at])
        corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * [length / 2, wide / 2]
        corners = corners @ np.array([[cos, sin], [-sin, cos]]) + tracks.position_m[at]
        kind = ObjectKind(int(tracks.kind[at]))
        cv2.polylines(
            above, [place(corners)], True, COLOURS[kind], 2 if tracks.confirmed[at] else 1, cv2.LINE_AA
        )
        x, y = place(tracks.position_m[at : at + 1])[0].tolist()
        name = f"{tracks.id[at]} {kind.name.lower()}"
        cv2.putText(above, name, (x + 8, y), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    if not cv2.imwrite(str(path), np.concatenate([camera, above])):
        raise InputError(f"{path}: cannot be written as a picture")


if __name__ == "__main__":
    main()
