"""What a source returns, and what a step sees of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Reading(Generic[T_co]):
    """What a source's author returns from ``read``.

    ``time_ns`` is when it was measured (of a chunk: its last sample), on the loop's clock; None: when it came.
    ``sequence`` is the sensor's own counter where it has one, of the last item that ``count`` spans.
    """

    data: T_co
    time_ns: int | None = None
    sequence: int | None = None
    count: int = 1


@dataclass(frozen=True)
class Sample(Generic[T_co]):
    """A reading that has arrived: stamped with ``received_ns`` under the loop's lock.

    ``lost`` counts what the sensor's counter says is missing right before this sample, or what
    overflowed out of the mailbox; ``restarted`` says the counter went backwards, or the source was opened anew.
    """

    data: T_co
    time_ns: int
    received_ns: int
    sequence: int | None = None
    count: int = 1
    lost: int = 0
    restarted: bool = False


@dataclass(frozen=True)
class View(Generic[T_co]):
    """What a snapshot holds for one input: the samples it may look at and how old the newest is.

    ``samples`` is empty where nothing has come (``latest``), or nothing new (``new``, ``one``).
    ``age_ns`` is the age of the newest sample ever received, by measurement time; None: nothing ever came.
    """

    samples: tuple[Sample[T_co], ...]
    age_ns: int | None
    ended: bool = False

    @property
    def latest(self) -> Sample[T_co] | None:
        """The newest sample of this view."""
        return self.samples[-1] if self.samples else None

    @property
    def data(self) -> T_co:
        """The newest sample's data. Raises LookupError where there is none."""
        if not self.samples:
            raise LookupError("this input holds no sample; ask `.latest`, or make the input required")
        return self.samples[-1].data

    @property
    def lost(self) -> int:
        """How many items are missing before or between the samples of this view."""
        return sum(sample.lost for sample in self.samples)
