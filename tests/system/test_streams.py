"""Two loops in processes of their own that meet over a stream, run, recorded and replayed as a stranger's vertical."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeai_core.loop.statistics import read_statistics
from edgeai_core.recording.file import read_entries
from edgeai_core.recording.record import Arrived, from_bytes
from edgeai_core.topics.ring import ring_folder

pytestmark = pytest.mark.system

PROJECT = """
[project]
name = "lookout"
version = "0"
[project.entry-points."edgeai.apps"]
lookout = "apps.lookout.app:app"
"""
APP = '''
"""A camera that a loop plays, and a loop that looks at it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from edgeai_core.app import App
from edgeai_core.decision import Decision
from edgeai_core.loop.spec import Every, Input, LoopSpec, On, Parts, Stream
from edgeai_core.recording import foxglove
from edgeai_core.sample import Reading


@dataclass(frozen=True)
class Picture:
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class Seen:
    brightness: float = 0.0
    pictures: int = 0


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid")


CAMERA = Input[Picture]("lookout.sim/camera", history="new", depth=8)


def play(snapshot):
    pixels = np.full((480, 640, 3), snapshot.number % 256, np.uint8)
    reading = Reading(Picture(pixels), snapshot.now_ns, snapshot.number)
    return Decision(Seen(), streams={"camera": (reading,)})


def see_parts():
    total = 0

    def step(snapshot):
        nonlocal total
        total += len(snapshot[CAMERA].samples)
        return Decision(Seen(float(snapshot[CAMERA].data.pixels.mean()), total))

    return Parts((), step, lambda snapshot, fault: Decision(Seen(), None))


def loops(config):
    return (
        LoopSpec("sim", Every(20), (), lambda: Parts((), play, lambda s, f: play(s)), 5.0, Decision(Seen()),
                 streams={"camera": Stream(Picture, 480 * 640 * 3)}),
        LoopSpec("see", On(CAMERA), (CAMERA,), see_parts, 5.0, Decision(Seen())),
    )


def channels():
    return {Picture: lambda picture, time_ns: {"": foxglove.compressed_image(picture.pixels, time_ns, "camera")}}


app = App("lookout", "looks out", Config, loops, channels=channels)
'''


def test_a_camera_in_one_process_reaches_a_loop_in_another_and_both_replay_from_the_recording(
    tmp_path: Path, install_vertical: Callable[[Path], str]
) -> None:
    project = tmp_path / "lookout"
    (project / "apps" / "lookout").mkdir(parents=True)
    (project / "pyproject.toml").write_text(PROJECT)
    (project / "apps" / "lookout" / "app.py").write_text(APP)
    install_vertical(project)
    state, recording = tmp_path / "state", tmp_path / "run.mcap"
    edgeai = [sys.executable, "-m", "edgeai_core.cli.main"]
    run = subprocess.Popen(
        [*edgeai, "run", "lookout", "--state", str(state), "--record", str(recording), "--evidence-s", "0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert run.stderr is not None
    try:
        for line in run.stderr:
            if "lookout.see makes progress" in line:
                break
    finally:
        run.terminate()
    rest = run.stderr.read()
    run.stderr.close()
    assert run.wait(60) == 0, rest
    assert not ring_folder(state / "run").exists()
    seen = read_statistics(state / "run" / "lookout.see.stats")
    assert isinstance(seen["cycles"], int)
    assert seen["cycles"] > 0
    done = subprocess.run([*edgeai, "replay", "lookout", str(recording)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the replay equals the live decisions" in done.stdout
    entries = list(read_entries(recording))
    assert {
        "/edgeai/lookout.sim",
        "/edgeai/lookout.see",
        "/lookout.sim/camera/preview",
        "/lookout.see",
    } <= {entry.topic for entry in entries}

    # The last picture may have come when the loop was stopped already.
    exact = [from_bytes(entry.data) for entry in entries if entry.topic == "/edgeai/lookout.see"]
    pictures = sum(isinstance(each, Arrived) for each in exact)
    again = subprocess.run(
        [
            *edgeai,
            "run",
            "lookout.see",
            "--input",
            f"lookout.see={recording}",
            "--state",
            str(tmp_path / "again"),
        ],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert again.returncode == 0, again.stderr
    played = read_statistics(tmp_path / "again" / "run" / "lookout.see.stats")
    assert isinstance(played["cycles"], int)
    assert 0 < played["cycles"] <= pictures
