"""EdgeAI: programs that sense, decide and alert on a device, with a deadline.

The names that an app's author needs, each loaded at its first use, so that importing one costs nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeai_core.app import App as App
    from edgeai_core.app import Panel as Panel
    from edgeai_core.app import Progress as Progress
    from edgeai_core.app import Task as Task
    from edgeai_core.clock import Clock as Clock
    from edgeai_core.decision import Condition as Condition
    from edgeai_core.decision import Decision as Decision
    from edgeai_core.decision import Priority as Priority
    from edgeai_core.decision import Rule as Rule
    from edgeai_core.errors import ConfigError as ConfigError
    from edgeai_core.errors import EdgeAIError as EdgeAIError
    from edgeai_core.errors import EndOfStream as EndOfStream
    from edgeai_core.errors import InputError as InputError
    from edgeai_core.errors import SensorError as SensorError
    from edgeai_core.loop.cycle import Cycle as Cycle
    from edgeai_core.loop.cycle import Fault as Fault
    from edgeai_core.loop.cycle import FaultKind as FaultKind
    from edgeai_core.loop.snapshot import Snapshot as Snapshot
    from edgeai_core.loop.spec import Degradation as Degradation
    from edgeai_core.loop.spec import DurableSource as DurableSource
    from edgeai_core.loop.spec import Every as Every
    from edgeai_core.loop.spec import Input as Input
    from edgeai_core.loop.spec import LoopSpec as LoopSpec
    from edgeai_core.loop.spec import On as On
    from edgeai_core.loop.spec import Parts as Parts
    from edgeai_core.loop.spec import Realtime as Realtime
    from edgeai_core.loop.spec import Sink as Sink
    from edgeai_core.loop.spec import Source as Source
    from edgeai_core.loop.spec import Stream as Stream
    from edgeai_core.sample import Reading as Reading
    from edgeai_core.sample import Sample as Sample
    from edgeai_core.sample import View as View

_MODULES = {
    "app": ("App", "Panel", "Progress", "Task"),
    "clock": ("Clock",),
    "decision": ("Condition", "Decision", "Priority", "Rule"),
    "errors": ("ConfigError", "EdgeAIError", "EndOfStream", "InputError", "SensorError"),
    "loop.cycle": ("Cycle", "Fault", "FaultKind"),
    "loop.snapshot": ("Snapshot",),
    "loop.spec": (
        "Degradation", "DurableSource", "Every", "Input", "LoopSpec", "On", "Parts", "Realtime", "Sink", "Source",
        "Stream",
    ),
    "sample": ("Reading", "Sample", "View"),
}  # fmt: skip
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = list(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"edgeai_core has no name {name!r}")
    return getattr(import_module(f"edgeai_core.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
