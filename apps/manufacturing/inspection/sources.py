"""Where pictures of parts come from: a folder, a camera, a camera's program, or the simulated line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apps.manufacturing.config import InspectionConfig
from edgeai_core.loop.spec import Source

CAMERA = "camera"
"""The name of the source, whatever it is."""


def picture_source(config: InspectionConfig) -> Source[Any]:
    """Return the source that the configuration names: a recording first, then a camera, then the simulation.

    Nothing is opened. Raises ConfigError for a simulated line that does not exist.
    """
    if config.trigger != "message":
        return _every_frame(config)
    from apps.manufacturing.inspection.trigger import TriggeredSource
    from edgeai_core.state import find_state

    return TriggeredSource(_every_frame(config), find_state().run, patience_s=config.camera.frame_timeout_s)


def check_recording(path: Path) -> None:
    """Raise InputError for a path that holds no pictures."""
    from edgeai_core.sensors.folder import FolderSource

    FolderSource(CAMERA, path, 1.0).check()


def _every_frame(config: InspectionConfig) -> Source[Any]:
    if config.recording is not None:
        from edgeai_core.sensors.folder import FolderSource

        return FolderSource(CAMERA, config.recording, config.parts_per_s, repeat=config.repeat)
    camera = config.camera
    if camera.command:
        from edgeai_core.sensors.camera import CommandSource

        return CommandSource(
            CAMERA, camera.command, camera.height, camera.width, frame_timeout_s=camera.frame_timeout_s
        )
    if camera.device:
        from edgeai_core.sensors.camera import CameraSource

        return CameraSource(CAMERA, camera.device, frame_timeout_s=camera.frame_timeout_s)
    from apps.manufacturing.simulation.line import LineSource

    return LineSource(CAMERA, config.simulation.scenario, config.parts_per_s, config.simulation.seed)
