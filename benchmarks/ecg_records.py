"""What the ECG loop raises on WFDB records, against their annotations.

    python -m benchmarks.ecg_records RECORD [RECORD ...] [--json]

Each record is replayed through the whole loop at its 10 Hz, with the rules of its alerts: they are those that a
run would write. The annotations bear an alert out, contradict it ("false"), or cannot judge it.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from apps.healthcare.config import EcgConfig
from apps.healthcare.ecg.annotations import VF, VFL, VT, Labels, read_header, read_labels
from apps.healthcare.ecg.decide import VENTRICULAR, Code
from apps.healthcare.ecg.episodes import LONG_EPISODE_S, Alert, Episode, episodes_of, verdict
from apps.healthcare.ecg.loop import ecg_loop
from edgeai_core.alerts.lifecycle import observe
from edgeai_core.sensors.replay import replay

AROUND_S = 5.0
"""Rhythms that were annotated so long before an alert are shown beside it."""


@dataclass(frozen=True)
class Row:
    """One alert, and what people wrote about its time. ``delay_s``: from the onset of the episode it found."""

    record: str
    code: str
    start_s: float
    end_s: float
    delay_s: float | None
    verdict: str
    annotated: str


@dataclass(frozen=True)
class Run:
    """One record: its length, the episodes of VF, flutter and VT of more than 10 s and how many were found."""

    record: str
    hours: float
    episodes: int
    found: int
    replay_s: float


def judge(record: Path) -> tuple[Run, list[Row]]:
    """Replay a record and hold its alerts against its annotations."""
    header = read_header(record)
    labels = read_labels(header)
    began_s = time.perf_counter()
    alerts = alerts_of(record)
    replay_s = time.perf_counter() - began_s
    episodes = episodes_of(labels, alerts, (VF, VFL, VT))
    long = [each for each in episodes if each.duration_s > LONG_EPISODE_S]
    found = sum(each.alert_s is not None for each in long)
    run = Run(header.name, header.duration_s / 3600, len(long), found, replay_s)
    return run, [_row(header.name, labels, episodes, alert) for alert in alerts]


def alerts_of(record: Path) -> list[Alert]:
    """Return the alerts that a run of the loop on a record would write."""
    spec = ecg_loop(EcgConfig(recording=record))
    watches: Any = {}
    standing: dict[str, float] = {}
    done: list[Alert] = []
    at_s = 0.0
    for cycle in replay(spec):
        at_s = cycle.snapshot.now_ns / 1e9
        seen = observe(watches, cycle.conditions_of.conditions, spec.rules, cycle.snapshot.now_ns)
        watches = seen.watches
        done += [Alert(Code(each.code), standing.pop(each.code), at_s) for each in seen.ended]
        standing.update((each.code, at_s) for each in seen.began)
    done += [Alert(Code(code), start_s, at_s) for code, start_s in standing.items()]
    return sorted(done, key=lambda alert: alert.start_s)


def _row(record: str, labels: Labels, episodes: list[Episode], alert: Alert) -> Row:
    near = [each for each in labels.rhythms if each.start_s <= alert.start_s < each.end_s + AROUND_S]
    annotated = " ".join(dict.fromkeys(each.rhythm for each in near))
    judged = "" if alert.code is Code.SIGNAL_LOST else verdict(alert, labels, EcgConfig().limits)
    begun = [each for each in episodes if each.alert_s == alert.start_s]
    delay_s = begun[0].delay_s if begun and alert.code in VENTRICULAR else None
    return Row(record, alert.code, alert.start_s, alert.end_s, delay_s, judged, annotated)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What the ECG loop raises on WFDB records.")
    parser.add_argument("records", nargs="+", type=Path, metavar="RECORD")
    parser.add_argument("--json", action="store_true", help="print one object instead of a table")
    chosen = parser.parse_args()
    runs: list[Run] = []
    rows: list[Row] = []
    for record in chosen.records:
        run, more = judge(record.with_suffix("") if record.suffix == ".hea" else record)
        runs.append(run)
        rows += more
    if chosen.json:
        print(json.dumps({"runs": [asdict(run) for run in runs], "alerts": [asdict(row) for row in rows]}))
        return
    print(f"{'record':<8}{'alert':<26}{'from s':>8}{'to s':>8}{'delay s':>9}  {'verdict':<11}annotated")
    for row in rows:
        delay = "" if row.delay_s is None else f"{row.delay_s:.1f}"
        times = f"{row.start_s:>8.1f}{row.end_s:>8.1f}{delay:>9}"
        print(f"{row.record:<8}{row.code:<26}{times}  {row.verdict:<11}{row.annotated}")
    for run in runs:
        print(
            f"{run.record}: {run.hours * 60:.0f} min replayed in {run.replay_s:.0f} s;"
            f" {run.found} of {run.episodes} episodes over 10 s found"
        )
    delays = [row.delay_s for row in rows if row.delay_s is not None]
    false = sum(row.verdict == "false" for row in rows)
    median = f"; median delay {np.median(delays):.1f} s (n = {len(delays)})" if delays else ""
    print(f"{len(rows)} alerts in {sum(run.hours for run in runs):.2f} h, {false} false{median}")


if __name__ == "__main__":
    main()
