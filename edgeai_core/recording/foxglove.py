"""How recorded values look in Foxglove: its well-known schemas as JSON, made by small pure functions.

The field names and numbers are those of the published schemas (https://docs.foxglove.dev/docs/sdk/schemas). An app
declares by type what its values look like (``App.channels``); whatever it does not declare is shown as the plain fields
of the value.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeai_core.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COMPRESSED_IMAGE = "foxglove.CompressedImage"
FRAME_TRANSFORM = "foxglove.FrameTransform"
LOG = "foxglove.Log"
POINT_CLOUD = "foxglove.PointCloud"
POSES_IN_FRAME = "foxglove.PosesInFrame"
SCENE_UPDATE = "foxglove.SceneUpdate"
PLAIN = "edgeai.Plain"

LEVELS = {"debug": 1, "info": 2, "low": 3, "medium": 3, "high": 5, "fault": 4}
"""foxglove.Log levels by the priority of an alert and the weight of an event."""

Colour = tuple[float, float, float, float]
"""Red, green, blue and opacity, 0 to 1."""


@dataclass(frozen=True)
class Shown:
    """One message on a channel people look at. ``lossy`` names a preview: what is shown is not what was recorded."""

    schema: str
    message: Mapping[str, Any]
    lossy: bool = False


Encoder = Callable[[Any, int], Mapping[str, Shown]]
"""From a value and its time (nanoseconds since 1970) to messages, by the name that is added to the channel's."""


@dataclass(frozen=True)
class Box:
    """A box for people: its middle on the ground, heading, size (length, width, height) and colour."""

    x_m: float
    y_m: float
    yaw_rad: float
    size_m: tuple[float, float, float]
    colour: Colour
    text: str = ""
    z_m: float = 0.0


def stamp(time_ns: int) -> dict[str, int]:
    """Return a time (nanoseconds since 1970) as Foxglove writes it."""
    return {"sec": time_ns // 1_000_000_000, "nsec": time_ns % 1_000_000_000}


def compressed_image(pixels: NDArray[np.uint8], time_ns: int, frame: str, quality: int = 80) -> Shown:
    """Show a picture (rows, columns[, 3], uint8, blue, green, red) as a JPEG: a preview, named lossy."""
    import cv2

    if pixels.dtype.name != "uint8" or pixels.ndim not in (2, 3) or not pixels.size:
        raise InputError(f"a picture of shape {pixels.shape} and {pixels.dtype} cannot be shown")
    good, jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not good:
        raise InputError(f"a picture of shape {pixels.shape} cannot be made a JPEG")
    return jpeg_image(jpeg.tobytes(), time_ns, frame)


def jpeg_image(jpeg: bytes, time_ns: int, frame: str) -> Shown:
    """Show what is a JPEG already."""
    message = {"timestamp": stamp(time_ns), "frame_id": frame, "data": _base64(jpeg), "format": "jpeg"}
    return Shown(COMPRESSED_IMAGE, message, lossy=True)


def point_cloud(
    xyz_m: NDArray[np.float32],
    time_ns: int,
    frame: str,
    intensity: NDArray[np.float32] | None = None,
    most: int = 20_000,
) -> Shown:
    """Show points (points, 3); of more than ``most`` every n-th, which is then a preview, named lossy."""
    import numpy as np

    every = max(1, -(-len(xyz_m) // most))
    columns = [xyz_m[::every]]
    names = ["x", "y", "z"]
    if intensity is not None:
        columns.append(intensity[::every, None])
        names.append("intensity")
    packed = np.hstack([np.asarray(column, "<f4") for column in columns])
    message = {
        "timestamp": stamp(time_ns),
        "frame_id": frame,
        "pose": _pose(0.0, 0.0, 0.0, 0.0),
        "point_stride": 4 * len(names),
        "fields": [
            {"name": name, "offset": 4 * at, "type": 7} for at, name in enumerate(names)
        ],  # 7: FLOAT32
        "data": _base64(packed.tobytes()),
    }
    return Shown(POINT_CLOUD, message, lossy=every > 1)


def boxes(items: Iterable[Box], time_ns: int, frame: str, name: str = "boxes") -> Shown:
    """Show boxes with their texts; each message replaces the one before."""
    cubes, texts = [], []
    for each in items:
        length, width, height = each.size_m
        cubes.append({
            "pose": _pose(each.x_m, each.y_m, each.z_m + height / 2, each.yaw_rad),
            "size": {"x": length, "y": width, "z": height},
            "color": _colour(each.colour),
        })  # fmt: skip
        if each.text:
            texts.append({
                "pose": _pose(each.x_m, each.y_m, each.z_m + height + 0.5, 0.0),
                "billboard": True, "font_size": 14.0, "scale_invariant": True,
                "color": {"r": 1.0, "g": 1.0, "b": 1.0, "a": 1.0}, "text": each.text,
            })  # fmt: skip
    return _scene(time_ns, frame, name, cubes=cubes, texts=texts)


def line(
    points_m: Sequence[Sequence[float]], time_ns: int, frame: str, colour: Colour, name: str = "line"
) -> Shown:
    """Show a line through points (x, y) or (x, y, z), 0.2 m wide; each message replaces the one before."""
    points = [{"x": float(p[0]), "y": float(p[1]), "z": float(p[2]) if len(p) > 2 else 0.0} for p in points_m]
    drawn = {
        "type": 0, "pose": _pose(0.0, 0.0, 0.0, 0.0), "thickness": 0.2, "scale_invariant": False, "points": points,
        "color": _colour(colour), "colors": [], "indices": [],
    }  # fmt: skip
    return _scene(time_ns, frame, name, lines=[drawn])


def path(
    x_m: Iterable[float], y_m: Iterable[float], yaw_rad: Iterable[float], time_ns: int, frame: str
) -> Shown:
    """Show a path as poses along it."""
    poses = [_pose(float(x), float(y), 0.0, float(yaw)) for x, y, yaw in zip(x_m, y_m, yaw_rad, strict=True)]
    return Shown(POSES_IN_FRAME, {"timestamp": stamp(time_ns), "frame_id": frame, "poses": poses})


def transform(x_m: float, y_m: float, yaw_rad: float, time_ns: int, parent: str, child: str) -> Shown:
    """Say where one frame stands in another, so that what is in both is seen together."""
    pose = _pose(x_m, y_m, 0.0, yaw_rad)
    return Shown(FRAME_TRANSFORM, {
        "timestamp": stamp(time_ns), "parent_frame_id": parent, "child_frame_id": child,
        "translation": pose["position"], "rotation": pose["orientation"],
    })  # fmt: skip


def text(message: str, time_ns: int, name: str, weight: str = "info") -> Shown:
    """Show a line of a log; ``weight`` is one of ``LEVELS``."""
    entry = {"timestamp": stamp(time_ns), "level": LEVELS[weight], "message": message, "name": name}
    return Shown(LOG, {**entry, "file": "", "line": 0})


def plain(fields: Mapping[str, Any]) -> Shown:
    """Show the plain fields of a value."""
    return Shown(PLAIN, fields)


def schema_json(name: str) -> dict[str, Any]:
    """Return the JSON schema of a message. Raises KeyError for one that is not among those above."""
    return _SCHEMAS[name]


def _scene(time_ns: int, frame: str, name: str, **primitives: Any) -> Shown:
    entity = {
        "timestamp": stamp(time_ns), "frame_id": frame, "id": name, "lifetime": {"sec": 0, "nsec": 0},
        "frame_locked": True, "metadata": [], "arrows": [], "cubes": [], "spheres": [], "cylinders": [],
        "lines": [], "triangles": [], "texts": [], "models": [], **primitives,
    }  # fmt: skip
    return Shown(SCENE_UPDATE, {"deletions": [], "entities": [entity]})


def _pose(x: float, y: float, z: float, yaw_rad: float) -> dict[str, dict[str, float]]:
    half = yaw_rad / 2
    return {
        "position": {"x": x, "y": y, "z": z},
        "orientation": {"x": 0.0, "y": 0.0, "z": math.sin(half), "w": math.cos(half)},
    }


def _colour(colour: Colour) -> dict[str, float]:
    return dict(zip("rgba", colour, strict=True))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _list(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


_NUMBER, _INTEGER, _TEXT, _FLAG = ({"type": t} for t in ("number", "integer", "string", "boolean"))
_BYTES = {"type": "string", "contentEncoding": "base64"}
_TIME = {"title": "time", **_object(sec=_INTEGER, nsec=_INTEGER)}
_DURATION = {"title": "duration", **_object(sec=_INTEGER, nsec=_INTEGER)}
_VECTOR = _object(x=_NUMBER, y=_NUMBER, z=_NUMBER)
_ROTATION = _object(x=_NUMBER, y=_NUMBER, z=_NUMBER, w=_NUMBER)
_POSE = _object(position=_VECTOR, orientation=_ROTATION)
_RGBA = _object(r=_NUMBER, g=_NUMBER, b=_NUMBER, a=_NUMBER)
_ANY = _list({"type": "object"})
_CUBE = _object(pose=_POSE, size=_VECTOR, color=_RGBA)
_LINE = _object(
    type=_INTEGER, pose=_POSE, thickness=_NUMBER, scale_invariant=_FLAG, points=_list(_VECTOR), color=_RGBA,
    colors=_list(_RGBA), indices=_list(_INTEGER),
)  # fmt: skip
_WORDS = _object(
    pose=_POSE, billboard=_FLAG, font_size=_NUMBER, scale_invariant=_FLAG, color=_RGBA, text=_TEXT
)  # fmt: skip
_ENTITY = _object(
    timestamp=_TIME, frame_id=_TEXT, id=_TEXT, lifetime=_DURATION, frame_locked=_FLAG,
    metadata=_list(_object(key=_TEXT, value=_TEXT)), arrows=_ANY, cubes=_list(_CUBE), spheres=_ANY,
    cylinders=_ANY, lines=_list(_LINE), triangles=_ANY, texts=_list(_WORDS), models=_ANY,
)  # fmt: skip
_SCHEMAS: Mapping[str, dict[str, Any]] = {
    name: {"title": name, **schema}
    for name, schema in {
        COMPRESSED_IMAGE: _object(timestamp=_TIME, frame_id=_TEXT, data=_BYTES, format=_TEXT),
        POINT_CLOUD: _object(
            timestamp=_TIME, frame_id=_TEXT, pose=_POSE, point_stride=_INTEGER,
            fields=_list(_object(name=_TEXT, offset=_INTEGER, type=_INTEGER)), data=_BYTES,
        ),
        SCENE_UPDATE: _object(
            deletions=_list(_object(timestamp=_TIME, type=_INTEGER, id=_TEXT)), entities=_list(_ENTITY)
        ),
        POSES_IN_FRAME: _object(timestamp=_TIME, frame_id=_TEXT, poses=_list(_POSE)),
        FRAME_TRANSFORM: _object(
            timestamp=_TIME, parent_frame_id=_TEXT, child_frame_id=_TEXT, translation=_VECTOR, rotation=_ROTATION
        ),
        LOG: _object(timestamp=_TIME, level=_INTEGER, message=_TEXT, name=_TEXT, file=_TEXT, line=_INTEGER),
        PLAIN: {"type": "object"},
    }.items()
}  # fmt: skip
