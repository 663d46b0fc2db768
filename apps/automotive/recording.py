"""How the automotive loops' messages look in Foxglove: pictures, points, boxes, paths, and where the vehicle stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from apps.automotive.messages import (
    BrakeCommand,
    BrakeStage,
    CameraImage,
    ObjectKind,
    Odometry,
    Plan,
    PointCloud,
    RadarScan,
    Route,
    Tracks,
)
from edgeai_core.recording import foxglove
from edgeai_core.recording.foxglove import Box, Colour
from edgeai_core.recording.shown import Encoder, Shown

VEHICLE = "vehicle"
ODOMETRY = "odometry"
RADAR = "radar"

_COLOURS: Mapping[ObjectKind, Colour] = {
    ObjectKind.UNKNOWN: (0.6, 0.6, 0.6, 0.5),
    ObjectKind.CAR: (0.2, 0.5, 1.0, 0.6),
    ObjectKind.TRUCK: (0.5, 0.3, 0.9, 0.6),
    ObjectKind.PEDESTRIAN: (1.0, 0.6, 0.1, 0.7),
    ObjectKind.CYCLIST: (0.1, 0.8, 0.5, 0.7),
}
_TENTATIVE_OPACITY = 0.2
_ROUTE_COLOUR: Colour = (0.9, 0.9, 0.9, 0.6)
_WEIGHTS = {
    BrakeStage.NONE: "info",
    BrakeStage.WARN: "low",
    BrakeStage.PARTIAL: "fault",
    BrakeStage.FULL: "high",
}


def channels() -> Mapping[type[Any], Encoder]:
    """Return how each message is shown, by its type: what ``App.channels`` wants."""
    return {
        CameraImage: camera_image,
        PointCloud: point_cloud,
        RadarScan: radar_scan,
        Odometry: odometry,
        Route: route,
        Tracks: tracks,
        Plan: plan,
        BrakeCommand: brake_command,
    }


def camera_image(image: CameraImage, time_ns: int) -> Mapping[str, Shown]:
    """Show a picture as a JPEG."""
    return {"": foxglove.compressed_image(image.pixels, time_ns, "camera")}


def point_cloud(cloud: PointCloud, time_ns: int) -> Mapping[str, Shown]:
    """Show laser returns in the vehicle frame."""
    return {"": foxglove.point_cloud(cloud.xyz_m, time_ns, VEHICLE, cloud.reflectance)}


def radar_scan(scan: RadarScan, time_ns: int) -> Mapping[str, Shown]:
    """Show radar detections as points in the sensor's plane; the intensity is the range rate in m/s."""
    x_m, y_m = scan.range_m * np.cos(scan.azimuth_rad), scan.range_m * np.sin(scan.azimuth_rad)
    xyz_m = np.stack([x_m, y_m, np.zeros_like(x_m)], axis=1).astype(np.float32)
    return {"": foxglove.point_cloud(xyz_m, time_ns, RADAR, scan.range_rate_mps.astype(np.float32))}


def odometry(ego: Odometry, time_ns: int) -> Mapping[str, Shown]:
    """Say where the vehicle's frame stands in that of odometry, and its speed."""
    stands = foxglove.transform(ego.x_m, ego.y_m, ego.yaw_rad, time_ns, ODOMETRY, VEHICLE)
    moves = {
        "speed_mps": ego.speed_mps,
        "yaw_rate_radps": ego.yaw_rate_radps,
        "steering_rad": ego.steering_rad,
    }
    return {"pose": stands, "motion": foxglove.plain(moves)}


def route(road: Route, time_ns: int) -> Mapping[str, Shown]:
    """Show the reference lane's centre line."""
    points = np.stack([road.x_m, road.y_m], axis=1)
    return {"": foxglove.line(points.tolist(), time_ns, ODOMETRY, _ROUTE_COLOUR, "route")}


def tracks(found: Tracks, time_ns: int) -> Mapping[str, Shown]:
    """Show tracks as boxes with their number and speed; those not confirmed are faint."""
    items = []
    for index in range(len(found.id)):
        kind = ObjectKind(int(found.kind[index]))
        red, green, blue, opacity = _COLOURS[kind]
        length_m, width_m, height_m = (float(size) for size in found.size_m[index])
        speed_mps = float(np.hypot(*found.velocity_mps[index]))
        items.append(
            Box(
                float(found.position_m[index, 0]),
                float(found.position_m[index, 1]),
                float(found.yaw_rad[index]),
                (length_m, width_m, height_m),
                (red, green, blue, opacity if found.confirmed[index] else _TENTATIVE_OPACITY),
                f"{int(found.id[index])} {kind.name.lower()} {speed_mps:.1f} m/s",
            )
        )
    lost = {"tracks": len(found.id), "sensors_lost": ", ".join(found.sensors_lost)}
    return {
        "boxes": foxglove.boxes(items, time_ns, ODOMETRY, "tracks"),
        "ego": odometry(found.ego, time_ns)["pose"],
        "": foxglove.plain(lost),
    }


def plan(way: Plan, time_ns: int) -> Mapping[str, Shown]:
    """Show the trajectory as poses, and what decided it."""
    said = {
        "manoeuvre": way.manoeuvre, "reason": way.reason, "candidates": way.candidates,
        "safe_stop": way.safe_stop, "steering_rad": way.steering_rad, "acceleration_mps2": way.acceleration_mps2,
    }  # fmt: skip
    return {
        "path": foxglove.path(way.x_m, way.y_m, way.yaw_rad, time_ns, ODOMETRY),
        "": foxglove.plain(said),
    }


def brake_command(command: BrakeCommand, time_ns: int) -> Mapping[str, Shown]:
    """Show the command as numbers for a plot; while it intervenes, as a line of the log too."""
    numbers: dict[str, Any] = {
        "stage": command.stage.value, "deceleration_mps2": command.deceleration_mps2, "track": command.track,
        "reason": command.reason, "age_s": (command.time_ns - command.evidence_ns) / 1e9,
    }  # fmt: skip
    if np.isfinite(command.time_to_collision_s):
        numbers["time_to_collision_s"] = command.time_to_collision_s
    shown = {"": foxglove.plain(numbers)}
    if command.stage is not BrakeStage.NONE:
        line = f"{command.stage.value} {command.deceleration_mps2:.1f} m/s2: {command.reason}"
        shown["log"] = foxglove.text(line, time_ns, "braking", _WEIGHTS[command.stage])
    return shown
