"""What a step decides: an output, the conditions that hold now, and what people may look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from edgeai_core.sample import Reading

O_co = TypeVar("O_co", covariant=True)


class Priority(StrEnum):
    """How soon a person has to act, in the words of ISA-18.2 and IEC 60601-1-8."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclass(frozen=True)
class Condition:
    """Something that is true now and worth an alert.

    One incident is one ``code`` with one ``subject`` (a patient, a part, a track, a machine).
    ``evidence`` holds plain values (numbers, strings, lists of them) that a person can check;
    ``title`` is the sentence a person reads first.
    """

    code: str
    subject: str
    priority: Priority
    title: str = ""
    evidence: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """How a condition becomes an alert: delays against chatter, and whether it latches.

    ``raise_after_s``: it must hold this long. ``clear_after_s``: it must be gone this long.
    ``latched``: once gone it stays until a person acknowledges it.
    """

    raise_after_s: float = 0.0
    clear_after_s: float = 0.0
    latched: bool = False


@dataclass(frozen=True)
class Decision(Generic[O_co]):
    """What a step returns.

    ``output`` is the app's own frozen dataclass: what actuators and other loops receive.
    ``conditions``: what holds now; None means "cannot tell", so what stands, stands.
    ``live``: what people may look at now, by topic; the latest wins and it may be dropped.
    ``streams``: what other loops receive beside the output, by the name of the stream that the loop's
    specification declares: images and clouds that are too large for a topic, sensors that a simulation plays.
    """

    output: O_co
    conditions: tuple[Condition, ...] | None = ()
    live: Mapping[str, object] = field(default_factory=dict)
    streams: Mapping[str, tuple[Reading[Any], ...]] = field(default_factory=dict)
