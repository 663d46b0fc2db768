"""What a step sees: every input as it stands at the release, and how old it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from edgeai_core.clock import Clock
from edgeai_core.loop.spec import Input
from edgeai_core.sample import View

T = TypeVar("T")


class Stages:
    """How long the named stages of one step took; without a clock it measures nothing."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock
        self.durations_ns: dict[str, int] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block under ``name``; several blocks of one name add up."""
        if self._clock is None:
            yield
            return
        start_ns = self._clock.now_ns()
        try:
            yield
        finally:
            took_ns = self._clock.now_ns() - start_ns
            self.durations_ns[name] = self.durations_ns.get(name, 0) + took_ns


@dataclass(frozen=True)
class Snapshot:
    """The inputs of one cycle.

    ``now_ns`` is taken under the same lock as every arrival's stamp, so no sample is newer than it.
    ``level`` is that of degradation; 0 is whole. ``optional`` names the inputs that a step can do without, ``silent``
    the one that should have released the loop, where it has woken because nothing came.
    """

    number: int
    release_ns: int
    now_ns: int
    level: int
    views: Mapping[str, View[Any]]
    stages: Stages = field(default_factory=Stages, compare=False, repr=False)
    optional: frozenset[str] = frozenset()
    silent: str | None = None

    def __getitem__(self, handle: Input[T]) -> View[T]:
        """Return the view of one input. Raises KeyError for a handle that is not the loop's."""
        return cast("View[T]", self.views[handle.source])
