"""What an app learnt on a device, and its way past the gate into the store of models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from edgeai_core.learning.gate import Passed
from edgeai_core.metrics.evaluation import Evaluation
from edgeai_core.runners.store import Version, install, next_name
from edgeai_core.state import State


@dataclass(frozen=True)
class Lesson:
    """What a task's ``continual`` returns.

    ``evaluation`` says how much is forgotten with rehearsal and without, ``base`` is the version it was learnt on top
    of. ``write(folder, version)`` puts the model, its card and what later lessons need into a folder, and passes the
    gate: it raises ``RefusedError`` where what it wrote may not replace the model in use.
    """

    evaluation: Evaluation
    base: str
    write: Callable[[Path, str], Passed]


def install_lesson(state: State, task: str, lesson: Lesson) -> Version:
    """Write, judge and install a lesson as the task's current model. Raises RefusedError: then nothing changes."""
    name = next_name(state, task, lesson.base)
    return install(state, task, name, lambda folder: lesson.write(folder, name).to_json())


def try_lesson(lesson: Lesson) -> Passed:
    """Write and judge a lesson, and keep nothing. Raises RefusedError."""
    with TemporaryDirectory(prefix="edgeai-lesson-") as folder:
        return lesson.write(Path(folder), f"{lesson.base.partition('+')[0]}+trial")
