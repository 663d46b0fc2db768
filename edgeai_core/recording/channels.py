"""From records to entries: the exact record for a replay, and beside it what people look at."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from edgeai_core.app import load_app
from edgeai_core.errors import EdgeAIError
from edgeai_core.recording import foxglove
from edgeai_core.recording.file import EXACT_TOPIC, Entry, shown_entry
from edgeai_core.recording.record import Arrived, Began, Decided, Missing, Record, build
from edgeai_core.recording.shown import Encoder, Shown

log = logging.getLogger("edgeai.recording")

LOG_TOPIC = "/log"


class LoopChannels:
    """One run of one loop. ``clock_ns`` is what to add to its clock for wall time.

    ``head`` is the entry of its beginning. ``views`` are shared by the loops of a recording: a stream that two loops
    receive is shown once, by whoever brought it first.
    """

    def __init__(self, began: Began, raw: bytes, clock_ns: int, views: dict[str, str]) -> None:
        self.name = f"{began.app}.{began.loop}"
        self._began = began
        self.head = Entry(EXACT_TOPIC + self.name, began.at_ns + clock_ns, raw)
        self._clock_ns = clock_ns
        self._views = views
        self._encoders = encoders_of(began.app)
        self._conditions: frozenset[tuple[str, str]] | None = frozenset()
        self._fault: tuple[str, str] | None = None
        self._told: set[str] = set()

    def anew(self) -> LoopChannels:
        """Return the same loop for another file, to which its conditions are new."""
        return LoopChannels(self._began, self.head.data, self._clock_ns, self._views)

    def entries(self, record: Record, raw: bytes) -> Iterator[Entry]:
        """Yield the exact entry of a record first, then those for people."""
        if isinstance(record, Arrived):
            at_ns, time_ns = record.at_ns, record.time_ns
        elif isinstance(record, Decided):
            at_ns = time_ns = record.now_ns
        else:
            at_ns = time_ns = record.at_ns
        log_ns = at_ns + self._clock_ns
        yield Entry(EXACT_TOPIC + self.name, log_ns, raw, publish_ns=time_ns + self._clock_ns)
        if isinstance(record, Arrived) and (topic := self._topic(record.source)) is not None:
            yield from self._shown(topic, record.type, record.data, log_ns, time_ns + self._clock_ns)
        elif isinstance(record, Decided):
            yield from self._shown(f"/{self.name}", record.type, record.output, log_ns, log_ns)
            yield from self._changes(record, log_ns)
        elif isinstance(record, Missing):
            yield self._line(f"{record.count} records are missing: {record.reason}", log_ns, "fault")

    def _topic(self, source: str) -> str | None:
        """Return the channel on which people see a source; None where it is seen elsewhere."""
        if "." not in source:
            return f"/{self.name}/{source}"
        if "/" not in source:
            return None  # a loop's output: that loop shows it
        return f"/{source}" if self._views.setdefault(source, self.name) == self.name else None

    def _shown(self, topic: str, kind: str, data: Any, log_ns: int, time_ns: int) -> Iterator[Entry]:
        encoder = self._encoders.get(kind)
        shown: Mapping[str, Shown]
        try:
            if encoder is not None:
                shown = encoder(build(kind, data), time_ns)
            else:
                shown = {"": foxglove.plain(_plain(data))}
        except Exception as error:  # an app's function: what it cannot show is recorded all the same
            if kind not in self._told:
                self._told.add(kind)
                log.error("%s: a %s cannot be shown: %s", topic, kind or "value", error)
            return
        for suffix, message in shown.items():
            yield shown_entry(f"{topic}/{suffix}" if suffix else topic, message, log_ns, time_ns)

    def _changes(self, record: Decided, log_ns: int) -> Iterator[Entry]:
        """Yield lines for conditions that began or ended with this cycle, and for its fault."""
        if record.conditions is not None:
            now = {(code, subject): (priority, title) for code, subject, priority, title in record.conditions}
            for (code, subject), (priority, title) in now.items():
                if (code, subject) not in (self._conditions or ()):
                    yield self._line(f"{code} ({subject}, {priority}) {title}".rstrip(), log_ns, priority)
            for code, subject in sorted((self._conditions or frozenset()) - frozenset(now)):
                yield self._line(f"{code} ({subject}) is over", log_ns, "info")
            self._conditions = frozenset(now)
        if record.fault != self._fault:
            self._fault = record.fault
            yield self._line(record.note or "no fault any more", log_ns, "fault" if record.fault else "info")

    def _line(self, message: str, log_ns: int, weight: str) -> Entry:
        return shown_entry(LOG_TOPIC, foxglove.text(message, log_ns, self.name, weight), log_ns)


def encoders_of(app: str) -> Mapping[str, Encoder]:
    """Return how an app's types are shown, by the name a recording gives them; empty where it cannot be said."""
    try:
        channels = load_app(app).channels
    except EdgeAIError as error:
        log.error("%s", error)
        return {}
    if channels is None:
        return {}
    return {f"{kind.__module__}:{kind.__qualname__}": encoder for kind, encoder in channels().items()}


def _plain(data: Any) -> dict[str, Any]:
    """Return what of a decoded value fits a JSON object that people read: no arrays, no bytes."""
    if not isinstance(data, Mapping):
        data = {"value": data}
    return {str(name): value for name, value in data.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if value is None or isinstance(value, (bool, int, str)):
        return True
    if isinstance(value, float):
        return value == value and abs(value) != float("inf")  # JSON knows neither
    return False
