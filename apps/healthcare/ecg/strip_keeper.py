"""Strips kept for alerts: a sink that draws the seconds around each one and writes them, within a budget of bytes."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import re
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.healthcare.ecg.decide import Code, EcgOutput
from apps.healthcare.ecg.strip import Strip, StripLead, strip_svg
from edgeai_core.alerts import walltime
from edgeai_core.alerts.alert import Alert
from edgeai_core.alerts.lifecycle import Key, Watch, observe
from edgeai_core.decision import Condition, Rule
from edgeai_core.loop.cycle import Cycle
from edgeai_core.state import State

BEFORE_S, AFTER_S = 9.0, 3.0
"""What of the signal around an alert is drawn: together 30 cm of paper."""

BUDGET_BYTES = 64 << 20

_QUEUE = 16
_MOST_OPEN = 8
_LATE_S = 2.0  # a strip whose signal has ended is drawn so long after it should have been whole
_REPLAY_NS = 10_000_000_000  # a loop whose time is further than this from the machine's is a replay
_SUFFIX = ".svg"
_NAME = re.compile(r"^[0-9a-zA-Z_.-]{1,120}$")
_log = logging.getLogger(__name__)


def strips_folder(state: State) -> Path:
    """Return where strips are kept."""
    return state.evidence / "healthcare.ecg"


def strip_of(folder: Path, alert: Alert) -> Path | None:
    """Return the strip of an alert, where there is one."""
    path = _path(folder, alert.boot_id, alert.monotonic_ns, alert.code)
    return path if path is not None and path.is_file() else None


@dataclass(frozen=True)
class _Begun:
    """An alert that was just raised: its strip is complete once the signal has gone on for ``AFTER_S``."""

    condition: Condition
    at_s: float
    at_ns: int
    when: str
    path: Path


class StripKeeper:
    """Takes the loop's cycles, and keeps a strip of every alert of the patient; ``dropped`` counts those it could not.

    It begins an alert when the journal's sink does: both ask the same pure function, with the same rules. Drawing and
    writing are done by a thread of its own. A replay keeps nothing: its alerts are in no journal.
    """

    def __init__(self, folder: Path, rules: Mapping[str, Rule], budget_bytes: int = BUDGET_BYTES) -> None:
        self.dropped = 0
        self._folder, self._rules, self._budget = folder, rules, budget_bytes
        self._pieces: deque[Mapping[str, Any]] = deque()
        self._watches: Mapping[Key, Watch] = {}
        self._begun: list[_Begun] = []
        self._queue: queue.Queue[tuple[_Begun, tuple[Mapping[str, Any], ...]] | None] = queue.Queue(_QUEUE)
        self._thread: threading.Thread | None = None

    def put(self, cycle: Cycle[EcgOutput]) -> None:
        """Take one cycle."""
        now_ns = cycle.snapshot.now_ns
        decision = cycle.conditions_of
        if isinstance(live := decision.live.get("ecg"), Mapping):
            self._take(live)
        before = self._watches
        seen = observe(before, decision.conditions, self._rules, now_ns)
        self._watches = seen.watches
        for condition in seen.began:
            watch = before.get(Key(condition.code, condition.subject))
            if condition.code in _DRAWN and (watch is None or not watch.standing):
                self._begin(condition, decision.output.time_s, now_ns)
        for each in list(self._begun):
            whole = bool(self._pieces) and self._pieces[-1]["time_s"] >= each.at_s + AFTER_S
            if whole or now_ns > each.at_ns + (AFTER_S + _LATE_S) * 1e9:
                self._begun.remove(each)
                self._hand_over(each)

    def close(self, timeout_s: float = 5.0) -> None:
        """Draw what is waiting, and end."""
        for each in self._begun:
            self._hand_over(each)
        self._begun = []
        if self._thread is not None:
            with contextlib.suppress(queue.Full):
                self._queue.put(None, timeout=timeout_s)
            self._thread.join(timeout_s)

    def _take(self, live: Mapping[str, Any]) -> None:
        last = self._pieces[-1] if self._pieces else None
        if last is not None and (
            live["first_index"] < last["first_index"] or live["lead_names"] != last["lead_names"]
        ):
            self._pieces.clear()  # another recording: its time begins anew
        self._pieces.append(live)
        oldest_s = live["time_s"] - BEFORE_S - AFTER_S - _LATE_S - 1.0
        while self._pieces[0]["time_s"] < oldest_s:
            self._pieces.popleft()

    def _begin(self, condition: Condition, at_s: float, now_ns: int) -> None:
        if abs(time.monotonic_ns() - now_ns) > _REPLAY_NS:
            return
        moment = walltime.now(now_ns)
        path = _path(self._folder, moment.boot_id, now_ns, condition.code)
        if path is None or len(self._begun) >= _MOST_OPEN:
            self.dropped += 1
            return
        when = moment.iso + ("" if moment.synchronised else " (clock not synchronised)")
        self._begun.append(_Begun(condition, at_s, now_ns, when, path))

    def _hand_over(self, begun: _Begun) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_all, name="strips", daemon=True)
            self._thread.start()
        try:
            self._queue.put_nowait((begun, tuple(self._pieces)))
        except queue.Full:
            self.dropped += 1

    # On the keeper's own thread

    def _write_all(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                self._write(*item)
            except OSError as error:
                self.dropped += 1
                said = {"folder": str(self._folder), "reason": error.strerror}
                _log.warning("a strip cannot be kept", extra=said)

    def _write(self, begun: _Begun, pieces: tuple[Mapping[str, Any], ...]) -> None:
        strip = strip_from(pieces, begun.condition, begun.at_s, begun.when)
        if strip is None:
            return
        data = strip_svg(strip).encode()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._make_room(len(data))
        draft = begun.path.with_suffix(".part")
        draft.write_bytes(data)
        os.replace(draft, begun.path)

    def _make_room(self, wanted: int) -> None:
        files = sorted(((path.stat(), path) for path in self._folder.glob(f"*{_SUFFIX}")), key=_age)
        total = sum(status.st_size for status, _ in files)
        for status, path in files:
            if total + wanted <= self._budget:
                return
            path.unlink(missing_ok=True)
            total -= status.st_size


def strip_from(
    pieces: tuple[Mapping[str, Any], ...], condition: Condition, at_s: float, when: str
) -> Strip | None:
    """Join what the page was shown, in order, to the strip around ``at_s``; None where there is nothing of it."""
    from_s, until_s = at_s - BEFORE_S, at_s + AFTER_S
    kept = [piece for piece in pieces if piece["samples_mv"] and piece["samples_mv"][0]]
    if not kept:
        return None
    rate_hz: float = kept[0]["rate_hz"]
    first: int = max(kept[0]["first_index"], round(from_s * rate_hz))
    count = min(kept[-1]["first_index"] + len(kept[-1]["samples_mv"][0]), round(until_s * rate_hz)) - first
    if count <= 0:
        return None
    last = kept[-1]
    leads = [[float("nan")] * count for _ in last["lead_names"]]
    for piece in kept:
        for lead, values in zip(leads, piece["samples_mv"], strict=True):
            start = piece["first_index"] - first
            for at in range(max(0, -start), min(len(values), count - start)):
                lead[start + at] = values[at]
    letters = {time_s: letter for piece in pieces for time_s, letter in piece.get("beat_classes", ())}
    beats = [time_s for piece in pieces for time_s in piece["beats_s"] if from_s <= time_s <= until_s]
    return Strip(
        leads=tuple(
            StripLead(name, values, off)
            for name, values, off in zip(last["lead_names"], leads, last["lead_off"], strict=True)
        ),
        rate_hz=rate_hz,
        from_s=first / rate_hz,
        beats=tuple((time_s, letters.get(time_s, "")) for time_s in beats),
        alert_s=at_s,
        title=condition.title,
        patient=condition.subject,
        when=when,
        simulated=bool(last["simulated"]),
    )


_DRAWN = frozenset(Code) - {Code.SIGNAL_LOST}


def _path(folder: Path, boot_id: str, monotonic_ns: int, code: str) -> Path | None:
    name = f"{boot_id}-{monotonic_ns}-{code}"
    return folder / f"{name}{_SUFFIX}" if _NAME.match(name) else None


def _age(entry: tuple[os.stat_result, Path]) -> float:
    return entry[0].st_mtime
