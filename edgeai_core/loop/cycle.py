"""One turn of a loop as its sinks receive it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from edgeai_core.decision import Decision
from edgeai_core.loop.snapshot import Snapshot

O_co = TypeVar("O_co", covariant=True)


class FaultKind(StrEnum):
    """Why a fallback answered instead of the step."""

    STALE = "stale"
    EXCEPTION = "exception"
    OVERRUN = "overrun"


@dataclass(frozen=True)
class Fault:
    """What went wrong in a cycle: names the input, its age, who makes it and the likely cause.

    ``age_ns`` is None where nothing ever came.
    """

    kind: FaultKind
    message: str
    input: str | None = None
    made_by: str | None = None
    age_ns: int | None = None
    cause: str = ""


@dataclass(frozen=True)
class Cycle(Generic[O_co]):
    """Snapshot, decision, times and fault of one turn.

    ``late`` is the step's decision where it missed the deadline: its output was replaced by the
    fallback's, but its conditions count. ``conditions_of`` says which decision to read them from.
    ``stages_ns`` are the times the step itself named, by stage.
    """

    loop: str
    snapshot: Snapshot
    decision: Decision[O_co]
    start_ns: int
    end_ns: int
    late: Decision[O_co] | None = None
    fault: Fault | None = None
    stages_ns: Mapping[str, int] = field(default_factory=dict)

    @property
    def data_time_ns(self) -> int:
        """When the oldest of the newest samples was measured: what the decision stands on. Without data: now.

        Inputs that a step can do without do not count: one may be old by its nature, and loops that tell each other
        would grow older with every cycle. A loop that goes on though what releases it is silent stands on all others.
        """
        snapshot = self.snapshot
        silent = snapshot.silent
        ages_ns = [
            view.age_ns
            for name, view in snapshot.views.items()
            if view.age_ns is not None
            and (name not in snapshot.optional if silent is None else name != silent)
        ]
        if silent is not None and not ages_ns:
            ages_ns = [snapshot.views[silent].age_ns or 0]
        return self.snapshot.now_ns - max(ages_ns, default=0)

    @property
    def conditions_of(self) -> Decision[O_co]:
        """The decision whose conditions count: the late one where there was one."""
        return self.late if self.late is not None else self.decision
