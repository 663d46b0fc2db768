"""Releases on an absolute schedule: ``start + n * period``, without drift."""

from __future__ import annotations

from fractions import Fraction

_SECOND_NS = 1_000_000_000


class Schedule:
    """Says when each cycle may start, and how many releases were missed.

    A missed release is skipped and counted, never caught up: after a stall the loop goes on with the
    newest release that is due. Times are integers, so the schedule is exact after any number of cycles.
    """

    def __init__(self, rate_hz: float, start_ns: int) -> None:
        period = _SECOND_NS / Fraction(rate_hz).limit_denominator(1_000_000)
        self._numerator, self._denominator = period.numerator, period.denominator
        self._start_ns = start_ns
        self._next = 0

    @property
    def period_ns(self) -> int:
        """The period, rounded to a nanosecond; the schedule itself does not round."""
        return round(Fraction(self._numerator, self._denominator))

    @property
    def next_release_ns(self) -> int:
        """When the next cycle may start."""
        return self._time_ns(self._next)

    def take(self, now_ns: int) -> tuple[int, int]:
        """Take the newest release that is due at ``now_ns``.

        Returns its time and how many releases before it were missed. Before the next release is due
        it returns that release.
        """
        due = (now_ns - self._start_ns) * self._denominator // self._numerator
        while self._time_ns(due + 1) <= now_ns:  # a release is rounded down, so the division may be one short
            due += 1
        taken = max(due, self._next)
        missed = taken - self._next
        self._next = taken + 1
        return self._time_ns(taken), missed

    def _time_ns(self, number: int) -> int:
        return self._start_ns + number * self._numerator // self._denominator
