"""The contract between a vertical and the core: what a loop is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from edgeai_core.clock import Clock
from edgeai_core.decision import Decision, Rule
from edgeai_core.sample import Reading

if TYPE_CHECKING:
    from edgeai_core.loop.cycle import Cycle, Fault
    from edgeai_core.loop.snapshot import Snapshot

T_co = TypeVar("T_co", covariant=True)
O = TypeVar("O")  # noqa: E741 - an output


class Source(Protocol[T_co]):
    """Where readings come from. All four methods are called on one thread."""

    @property
    def name(self) -> str:
        """The name that inputs refer to."""
        ...

    def open(self, clock: Clock) -> None:
        """Get ready, and be ready to be opened again after ``close``. Raises SensorError."""
        ...

    def read(self, timeout_s: float) -> Reading[T_co] | None:
        """Return the next reading, or None where nothing came in time.

        Honours its time-out. Raises EndOfStream when it is over, SensorError when it failed.
        """
        ...

    def close(self) -> None:
        """Let go of the device or file; called once per ``open``."""
        ...


class DurableSource(Source[T_co], Protocol[T_co]):
    """A source of which nothing may be lost: what was not committed is delivered again."""

    def commit(self, sequence: int) -> None:
        """Called on the reading thread after the journal has committed everything up to ``sequence``."""
        ...


class Sink(Protocol):
    """Where whole cycles go."""

    def put(self, cycle: Cycle[Any]) -> None:
        """Take one cycle. Never blocks the loop: what is slow owns a bounded queue and counts what it drops."""
        ...


@dataclass(frozen=True)
class Input(Generic[T_co]):
    """A typed handle on one source or topic: ``snapshot[ECG]`` is a View of its data.

    ``source`` names a source of this loop, or ``<app>.<loop>``: that loop's output topic, or
    ``<app>.<loop>/<stream>``: one of its streams.
    ``history``: ``latest`` the newest; ``new`` all since the last step, bounded by ``depth``, gaps flagged;
    ``one`` one by one, durable. ``max_age_s`` is by measurement time; the input that releases the loop is exempt.
    ``polled``: drained whole by the loop's own thread without waiting, for loops of 100 Hz and more.
    ``recorded=False``: its data name people or are secret; a loop with such an input is not recorded at all.
    """

    source: str
    history: Literal["latest", "new", "one"] = "latest"
    depth: int = 1
    max_age_s: float | None = None
    required: bool = True
    polled: bool = False
    recorded: bool = True

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise ValueError(f"input {self.source!r}: depth is {self.depth}; it must be at least 1")
        if self.history == "new" and self.depth == 1:
            raise ValueError(f"input {self.source!r}: history 'new' wants a depth of more than 1")
        if self.max_age_s is not None and self.max_age_s <= 0:
            raise ValueError(f"input {self.source!r}: max_age_s is {self.max_age_s}; it must be positive")


@dataclass(frozen=True)
class Every:
    """Released by the clock: at ``start + n / rate_hz``, absolute."""

    rate_hz: float

    def __post_init__(self) -> None:
        if not 0 < self.rate_hz <= 10_000:
            raise ValueError(f"rate_hz is {self.rate_hz}; it must be above 0 and at most 10000")


@dataclass(frozen=True)
class On:
    """Released by an input's arrival; wakes anyway after ``idle_s`` so that a silent input is noticed."""

    input: Input[Any]
    idle_s: float = 1.0


@dataclass(frozen=True)
class Degradation:
    """A step down that a loop may take when it overruns, and its way back.

    After ``after`` overruns within ``within_s`` the level rises by one; it falls again after
    ``back_after_s`` without an overrun, doubled at every relapse. The step reads ``snapshot.level``.
    """

    name: str
    after: int = 3
    within_s: float = 10.0
    back_after_s: float = 30.0


@dataclass(frozen=True)
class Realtime:
    """What a loop may ask of the machine; all off by default.

    ``spin_s``: how long before a release it spins instead of sleeping (at most 1 ms).
    ``cores``: the CPU set. ``priority``: SCHED_FIFO 1..99. ``lock_memory``: mlockall.
    """

    spin_s: float = 0.0
    cores: tuple[int, ...] = ()
    priority: int | None = None
    lock_memory: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.spin_s <= 0.001:
            raise ValueError(f"spin_s is {self.spin_s}; it is bounded to 0..0.001, for a spin burns a core")


@dataclass(frozen=True)
class Parts(Generic[O]):
    """What ``LoopSpec.build`` makes in the loop's own process.

    ``step`` holds its own state and reads no clock, file or socket.
    ``fallback`` answers for a stale input, an exception or an overrun.
    ``sinks`` are the app's own (an actuator, say); the core adds journal, topics and live view.
    """

    sources: tuple[Source[Any], ...]
    step: Callable[[Snapshot], Decision[O]]
    fallback: Callable[[Snapshot, Fault], Decision[O]]
    sinks: tuple[Sink, ...] = ()


@dataclass(frozen=True)
class Stream:
    """What a loop hands to other loops beside its output, in a ring of shared memory.

    ``item`` is the type of one reading's data: a dataclass of plain values and arrays. ``max_bytes`` bounds one
    encoded item; ``depth`` is how many the ring holds before the oldest is overwritten.
    """

    item: type[Any]
    max_bytes: int
    depth: int = 4

    def __post_init__(self) -> None:
        if self.max_bytes < 1 or self.depth < 2:
            raise ValueError(
                f"a stream of {self.depth} items of {self.max_bytes} bytes: it needs 2 of 1 at least"
            )


@dataclass(frozen=True)
class LoopSpec(Generic[O]):
    """One loop of a vertical.

    ``build`` runs in the loop's own process, and again after a restart: it opens models and devices.
    ``deadline_s`` counts from the release. ``safe`` holds when even the fallback fails.
    ``rules`` say by condition code how a condition becomes an alert.
    ``streams`` declares what it hands to other loops beside its output.
    ``start_within_s``: how long required inputs may take to come for the first time, before that is a fault; None:
    as long as they may be old later, and a second where they may be of any age.
    ``after``: loops of the app whose processes are to be up before this one's is started.
    """

    name: str
    trigger: Every | On
    inputs: tuple[Input[Any], ...]
    build: Callable[[], Parts[O]]
    deadline_s: float
    safe: Decision[O]
    rules: Mapping[str, Rule] = field(default_factory=dict)
    degradations: tuple[Degradation, ...] = ()
    realtime: Realtime = Realtime()
    streams: Mapping[str, Stream] = field(default_factory=dict)
    start_within_s: float | None = None
    after: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        sources = [each.source for each in self.inputs]
        if len(set(sources)) != len(sources):
            raise ValueError(f"loop {self.name!r}: two inputs name one source ({', '.join(sources)})")
        if isinstance(self.trigger, On) and self.trigger.input not in self.inputs:
            raise ValueError(
                f"loop {self.name!r}: it is released by {self.trigger.input.source!r}, not one of its inputs"
            )
        if isinstance(self.trigger, On) and self.trigger.input.polled:
            raise ValueError(
                f"loop {self.name!r}: a polled input cannot release it; nothing waits for a polled input"
            )
        if self.deadline_s <= 0:
            raise ValueError(f"loop {self.name!r}: deadline_s is {self.deadline_s}; it must be positive")
        if any(i.history == "one" for i in self.inputs) and (
            not isinstance(self.trigger, On) or self.trigger.input.history != "one"
        ):
            raise ValueError(f"loop {self.name!r}: a durable input ('one') must be what releases the loop")
