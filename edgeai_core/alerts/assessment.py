"""How the alarm system itself does: the performance metrics of ISA-18.2, from the journal's events.

Rates of annunciation, floods, standing and chattering alarms, the shares of the priorities, how long people take to
answer. Measures and limits follow ANSI/ISA-18.2-2016, clause 16 (the same are in EEMUA 191 and IEC 62682): a
chattering alarm repeats three or more times within a minute, a standing one is annunciated for more than 24 hours,
and ten within ten minutes are a flood.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from statistics import median

from edgeai_core.alerts.journal import Journal
from edgeai_core.decision import Priority
from edgeai_core.errors import InputError

CHATTERING_COUNT = 3
CHATTERING_WITHIN_S = 60.0
STANDING_AFTER_S = 24 * 3600.0
FLOOD_COUNT = 10
FLOOD_WITHIN_S = 600.0

MAX_EVENTS = 500_000
_LONGEST_LIST = 20


@dataclass(frozen=True)
class Happening:
    """What of an event counts here. ``key`` names its source: app, loop, code and subject."""

    at_s: float
    kind: str
    alert_id: str
    key: str
    priority: Priority


@dataclass(frozen=True)
class Assessment:
    """The alarm system over a stretch of time.

    ``raised`` counts annunciations (a latched alert that came back counts again); rates are a day. ``standing``:
    alerts annunciated for more than 24 hours that nobody has cleared, with their age in hours. ``chattering``: sources
    that were raised three times within a minute, with how often. ``frequent``: the sources raised most, with counts.
    ``flood_share``: the share of the time in which ten or more were raised within ten minutes.
    """

    since: str
    until: str
    days: float
    raised: int
    raised_per_day: float
    by_priority: Mapping[str, int]
    frequent: tuple[tuple[str, int], ...]
    chattering: tuple[tuple[str, int], ...]
    standing: tuple[tuple[str, float], ...]
    most_in_10_minutes: int
    flood_share: float
    acknowledged: int
    acknowledge_median_s: float | None
    escalated: int
    silenced: int

    def to_json(self) -> dict[str, object]:
        """Return it as plain JSON values."""
        plain = asdict(self)
        for name, amount in (("frequent", "raised"), ("chattering", "times"), ("standing", "hours")):
            plain[name] = [{"source": key, amount: value} for key, value in getattr(self, name)]
        return plain


def assess(
    events: Iterable[Happening], standing: Iterable[tuple[str, float]], since: datetime, until: datetime
) -> Assessment:
    """Return the measures over events in the order of their times, of which all lie between ``since`` and ``until``.

    ``standing`` are the open alerts: source, and when each was raised (seconds since 1970). Raises InputError where
    no time passes between the two.
    """
    lasted_s = (until - since).total_seconds()
    if lasted_s <= 0:
        raise InputError("statistics need a stretch of time: since must come before until")
    raised_s: dict[str, list[float]] = defaultdict(list)
    priorities: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    waiting_s: dict[str, float] = {}
    answered_s: list[float] = []
    times_s: list[float] = []
    for event in events:
        kinds[event.kind] += 1
        if event.kind == "raised":
            raised_s[event.key].append(event.at_s)
            times_s.append(event.at_s)
            priorities[event.priority.value] += 1
            waiting_s[event.alert_id] = event.at_s
        elif event.kind == "acknowledged" and event.alert_id in waiting_s:
            answered_s.append(max(0.0, event.at_s - waiting_s.pop(event.alert_id)))
    most, flood_s = _floods(times_s)
    chattering = {key: _chatters(each) for key, each in raised_s.items()}
    now_s = until.timestamp()
    old = [
        (key, round((now_s - at_s) / 3600, 1)) for key, at_s in standing if now_s - at_s > STANDING_AFTER_S
    ]
    return Assessment(
        since=since.isoformat(timespec="seconds"),
        until=until.isoformat(timespec="seconds"),
        days=lasted_s / 86_400,
        raised=len(times_s),
        raised_per_day=len(times_s) * 86_400 / lasted_s,
        by_priority={each.value: priorities[each.value] for each in Priority},
        frequent=_most({key: len(each) for key, each in raised_s.items()}),
        chattering=_most({key: count for key, count in chattering.items() if count}),
        standing=tuple(sorted(old, key=lambda each: -each[1])[:_LONGEST_LIST]),
        most_in_10_minutes=most,
        flood_share=min(1.0, flood_s / lasted_s),
        acknowledged=kinds["acknowledged"],
        acknowledge_median_s=median(answered_s) if answered_s else None,
        escalated=kinds["escalated"],
        silenced=kinds["silenced"],
    )


def assess_journal(journal: Journal, since: datetime, until: datetime) -> Assessment:
    """Return the measures of a journal. Times are aware. Raises InputError for no time, and for too many events."""

    def key(app: str, loop: str, code: str, subject: str) -> str:
        return f"{app}.{loop} {code} {subject}"

    bounds = [_iso(since), _iso(until)]

    def between(connection: sqlite3.Connection) -> tuple[list[tuple[str, ...]], bool]:
        cursor = connection.execute(
            "SELECT events.at, events.kind, alerts.id, app, loop, code, subject,"
            " json_extract(events.body, '$.priority')"
            " FROM events JOIN alerts ON alerts.id = events.alert_id"
            " WHERE events.at >= ? AND events.at < ? ORDER BY sequence",
            bounds,
        )
        return cursor.fetchmany(MAX_EVENTS), cursor.fetchone() is not None

    rows, more = journal.read(between)
    if more:
        raise InputError(f"more than {MAX_EVENTS} events lie between the two: ask for a shorter time")
    happenings = sorted(
        (Happening(_seconds(at), kind, id, key(*names), Priority(p)) for at, kind, id, *names, p in rows),
        key=lambda each: each.at_s,
    )
    opened = journal.read(
        lambda connection: connection.execute(
            "SELECT app, loop, code, subject, raised_at FROM alerts"
            " WHERE state IN ('raised', 'acknowledged', 'latched') AND raised_at < ?",
            bounds[1:],
        ).fetchall()
    )
    standing = [(key(*names), _seconds(at)) for *names, at in opened]
    return assess(happenings, standing, since, until)


def _chatters(times_s: list[float]) -> int:
    """Return how often a source was raised for the third (or later) time within a minute."""
    recent: deque[float] = deque(maxlen=CHATTERING_COUNT)
    count = 0
    for at_s in times_s:
        recent.append(at_s)
        count += len(recent) == CHATTERING_COUNT and at_s - recent[0] <= CHATTERING_WITHIN_S
    return count


def _floods(times_s: list[float]) -> tuple[int, float]:
    """Return the most raised within ten minutes, and for how long ten or more were within the last ten minutes."""
    recent: deque[float] = deque()
    most, flood_s = 0, 0.0
    flood_until_s = float("-inf")
    for at_s in times_s:
        recent.append(at_s)
        while recent[0] <= at_s - FLOOD_WITHIN_S:
            recent.popleft()
        most = max(most, len(recent))
        if len(recent) >= FLOOD_COUNT:
            until_s = recent[-FLOOD_COUNT] + FLOOD_WITHIN_S
            flood_s += until_s - max(at_s, flood_until_s)
            flood_until_s = until_s
    return most, flood_s


def _most(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:_LONGEST_LIST])


def _seconds(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()


def _iso(moment: datetime) -> str:
    utc = (moment - (moment.utcoffset() or timedelta())).replace(tzinfo=None)
    return utc.isoformat(timespec="milliseconds") + "Z"
