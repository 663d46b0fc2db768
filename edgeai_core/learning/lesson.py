"""What an app learnt on a device: how well, and how it is written and judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgeai_core.learning.gate import Passed
from edgeai_core.metrics.evaluation import Evaluation


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
