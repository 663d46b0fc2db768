"""The coldstore app: what it consists of, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeai_core.app import App
from edgeai_core.loop.spec import LoopSpec

from apps.coldstore.config import Config
from apps.coldstore.probe.loop import probe_loop


def loops(config: Config) -> Sequence[LoopSpec[Any]]:
    """Return the app's loops."""
    return (probe_loop(config),)


def inputs(config: Config, paths: Mapping[str, str]) -> Config:
    """Return the configuration with recordings in place of sensors, by the name of the loop."""
    return config.model_copy(update={"recording": Path(paths["probe"])})


app = App("coldstore", "Coldstore: a temperature that must not rise", Config, loops, inputs)
