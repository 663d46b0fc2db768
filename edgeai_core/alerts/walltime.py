"""Wall time as people and other devices read it: with the boot it belongs to and whether the clock can be trusted.

Logic never uses it. A board without a battery-backed clock starts somewhere in the past and jumps, so every
stamp also carries the monotonic time, the boot's id and whether the kernel called the clock synchronised.
"""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from edgeai_core.clock import boot_id

_STA_UNSYNC = 0x0040  # linux/timex.h: set by the kernel until a time service has set the clock


@dataclass(frozen=True)
class Moment:
    """One moment on both clocks.

    ``wall_ns`` counts from 1970 UTC, ``monotonic_ns`` within ``boot_id``.
    """

    wall_ns: int
    monotonic_ns: int
    boot_id: str
    synchronised: bool

    @property
    def iso(self) -> str:
        """The wall time as ISO 8601 in UTC with milliseconds: ``2026-11-24T03:15:00.250Z``."""
        return iso_from_ns(self.wall_ns)


def now(monotonic_ns: int | None = None) -> Moment:
    """Return the present moment; ``monotonic_ns`` is the loop's own time of it, where it has one."""
    return Moment(
        wall_ns=time.time_ns(),
        monotonic_ns=time.monotonic_ns() if monotonic_ns is None else monotonic_ns,
        boot_id=_boot_id(),
        synchronised=clock_synchronised(),
    )


def clock_synchronised() -> bool:
    """Return whether the kernel says that a time service keeps the clock (adjtimex); False where it cannot tell."""
    libc = _libc()
    if libc is None:
        return False
    state = _Timex()  # modes 0: it only reads, which needs no privilege
    if libc.adjtimex(ctypes.byref(state)) < 0:
        return False
    return not state.status & _STA_UNSYNC


def iso_from_ns(wall_ns: int) -> str:
    """Return nanoseconds since 1970 as ISO 8601 in UTC with milliseconds (rounded down) and a Z."""
    seconds, rest_ns = divmod(wall_ns, 1_000_000_000)
    return _iso(datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest_ns // 1000))


def normalised_iso(text: str) -> str:
    """Return an ISO 8601 time in the journal's own form, so that times compare as text.

    A time without an offset is taken as UTC. Raises ValueError where it is no time.
    """
    moment = datetime.fromisoformat(text)
    return _iso(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC))


def _iso(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


class _Timex(ctypes.Structure):
    """The head of ``struct timex``, with room for the rest: the kernel writes all of it."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL | None:
    try:
        libc = ctypes.CDLL(None)
        libc.adjtimex.restype = ctypes.c_int
    except (OSError, AttributeError):
        return None
    return libc


@lru_cache(maxsize=1)
def _boot_id() -> str:
    return boot_id()
