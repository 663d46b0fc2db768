"""What the ECG loop raises on WFDB records, against their annotations.

    python -m benchmarks.ecg_records RECORD [RECORD ...] [--json]

Each record is replayed through the whole loop, with its rules: the alerts are those that a run would write. A
critical alert is called false where the annotations of the five seconds before it, or of the moment itself, show
no rhythm that it could mean.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from apps.healthcare.config import EcgConfig
from apps.healthcare.ecg.annotations import ASYSTOLE, VF, VFL, VT, Interval, Labels, read_header, read_labels
from apps.healthcare.ecg.decide import Code
from apps.healthcare.ecg.loop import ecg_loop
from edgeai_core.alerts.lifecycle import observe
from edgeai_core.sensors.replay import replay

LOOK_BACK_S = 5.0
MEANT = {
    Code.VENTRICULAR_FIBRILLATION: {VF, VFL, VT},
    Code.VENTRICULAR_TACHYCARDIA: {VF, VFL, VT},
    Code.ASYSTOLE: {ASYSTOLE},
}
"""What an alert may mean, by the annotated rhythm. Rates are not annotated: they are held against the beats."""


@dataclass(frozen=True)
class Raised:
    """One alert of a replay, and what people wrote about that time."""

    record: str
    code: str
    start_s: float
    end_s: float
    annotated: str
    delay_s: float | None
    false: bool | None


@dataclass(frozen=True)
class Missed:
    """A ventricular episode of at least 10 s in which no critical alert stood."""

    record: str
    rhythm: str
    start_s: float
    duration_s: float


def judge(record: Path) -> tuple[list[Raised], list[Missed], dict[str, Any]]:
    """Replay a record and hold its alerts against its annotations."""
    header = read_header(record)
    labels = read_labels(header)
    began_s = time.perf_counter()
    alerts = _alerts(record)
    cost_s = time.perf_counter() - began_s
    raised = [_judged(header.name, labels, *alert) for alert in alerts]
    critical = [(start, end) for code, start, end in alerts if code != Code.SIGNAL_LOST]
    missed = [
        Missed(header.name, each.rhythm, each.start_s, each.duration_s)
        for each in labels.rhythms
        if each.rhythm in (VF, VFL, VT)
        and each.duration_s >= 10.0
        and not any(start < each.end_s and end > each.start_s for start, end in critical)
    ]
    return raised, missed, {"record": header.name, "hours": header.duration_s / 3600, "replay_s": cost_s}


def _alerts(record: Path) -> list[tuple[str, float, float]]:
    """Return (code, start, end) of what the loop's rules make of a record."""
    spec = ecg_loop(EcgConfig(recording=record))
    watches: Any = {}
    standing: dict[str, float] = {}
    done = []
    at_s = 0.0
    for cycle in replay(spec):
        at_s = cycle.snapshot.now_ns / 1e9
        seen = observe(watches, cycle.conditions_of.conditions, spec.rules, cycle.snapshot.now_ns)
        watches = seen.watches
        for each in seen.began:
            standing[each.code] = at_s
        for each in seen.ended:
            done.append((each.code, standing.pop(each.code), at_s))
    return sorted(
        [*done, *((code, start_s, at_s) for code, start_s in standing.items())], key=lambda each: each[1]
    )


def _judged(record: str, labels: Labels, code: str, start_s: float, end_s: float) -> Raised:
    near = [each for each in labels.rhythms if each.start_s <= start_s and each.end_s > start_s - LOOK_BACK_S]
    annotated = " ".join(dict.fromkeys(each.rhythm for each in near)) or "none"
    false: bool | None = None
    delay_s: float | None = None
    if code in MEANT and labels.rhythms_from != "none":
        meant = [each for each in near if each.rhythm in MEANT[Code(code)]]
        false = not meant
        if meant:
            delay_s = start_s - _onset_s(labels.rhythms, meant[-1], MEANT[Code(code)])
    elif code in (Code.EXTREME_BRADYCARDIA, Code.EXTREME_TACHYCARDIA) and len(labels.beat_s) > 1:
        annotated += f", {_rate_bpm(labels, code, start_s):.0f}/min"
    return Raised(record, code, start_s, end_s, annotated, delay_s, false)


def _onset_s(rhythms: Sequence[Interval], episode: Interval, meant: set[str]) -> float:
    """Return where the run of such rhythms began of which this is a part."""
    onset_s = episode.start_s
    for each in reversed([each for each in rhythms if each.start_s < episode.start_s]):
        if each.rhythm not in meant or each.end_s < onset_s - 0.01:
            break
        onset_s = each.start_s
    return onset_s


def _rate_bpm(labels: Labels, code: str, at_s: float) -> float:
    """Return the rate of the annotated beats before an alert, over as many as its definition takes."""
    beats = 5 if code == Code.EXTREME_BRADYCARDIA else 17
    before_s = labels.beat_s[labels.beat_s <= at_s][-beats:]
    return 60.0 / float(np.mean(np.diff(before_s))) if len(before_s) > 1 else 0.0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What the ECG loop raises on WFDB records.")
    parser.add_argument("records", nargs="+", type=Path, metavar="RECORD")
    parser.add_argument("--json", action="store_true", help="print one object instead of a table")
    chosen = parser.parse_args()
    raised: list[Raised] = []
    missed: list[Missed] = []
    runs: list[dict[str, Any]] = []
    for record in chosen.records:
        more_raised, more_missed, run = judge(record.with_suffix("") if record.suffix == ".hea" else record)
        raised += more_raised
        missed += more_missed
        runs.append(run)
    if chosen.json:
        print(
            json.dumps(
                {
                    "alerts": [asdict(each) for each in raised],
                    "missed": [asdict(each) for each in missed],
                    "runs": runs,
                }
            )
        )
        return
    print(f"{'record':<8}{'alert':<26}{'from s':>8}{'to s':>8}{'delay s':>9}  annotated")
    for each in raised:
        delay = "" if each.delay_s is None else f"{each.delay_s:.1f}"
        mark = "  FALSE" if each.false else ""
        print(
            f"{each.record:<8}{each.code:<26}{each.start_s:>8.1f}{each.end_s:>8.1f}{delay:>9}  {each.annotated}{mark}"
        )
    for miss in missed:
        print(f"{miss.record:<8}missed: {miss.rhythm} of {miss.duration_s:.0f} s at {miss.start_s:.0f} s")
    delays = [each.delay_s for each in raised if each.delay_s is not None]
    hours = sum(run["hours"] for run in runs)
    false = sum(each.false is True for each in raised)
    spread = f", median delay {np.median(delays):.1f} s" if delays else ""
    print(
        f"{len(runs)} records, {hours:.2f} h: {len(raised)} alerts, {false} false, {len(missed)} missed{spread}"
    )


if __name__ == "__main__":
    main()
