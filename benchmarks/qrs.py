"""QRS detection on a folder of WFDB records: ours, causal and in chunks, beside detectors that see a whole record.

    python -m benchmarks.qrs --data DIR [--cross-validate] [--peer sleepecg --peer gqrs] [--json]

The first ECG lead of each record from its first second, ventricular flutter left out, a beat right within 150 ms.
Accuracy and processor time are measured in the same run; reading the files does not count. With
``--cross-validate`` the scorer of our detector is fitted anew for each fifth of the patients, on the others.
Peers run where they are installed; wfdb's gqrs takes minutes and runs only when asked for.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.ecg.annotations import (
    Header,
    Labels,
    find_records,
    read_header,
    read_labels,
    read_signal,
)
from apps.healthcare.ecg.beat_matching import BeatMatch, match_beats
from apps.healthcare.ecg.beat_scorer import BeatScorer, shipped_scorer
from apps.healthcare.ecg.beat_training import beat_examples, fit_beat_scorer
from apps.healthcare.ecg.beats import Beats, QrsDetector
from apps.healthcare.ecg.windows import SAME_PERSON
from edgeai_core.errors import EdgeAIError
from edgeai_core.metrics.intervals import ratio_bootstrap

FOLDS = 5

Lead = NDArray[np.float64]
Detector = Callable[[Lead, float], Lead]
"""A lead in mV and its rate give the times of the beats, in seconds."""


@dataclass(frozen=True)
class Record:
    """A record with beat annotations."""

    header: Header
    labels: Labels

    @property
    def patient(self) -> str:
        """Who it is of: some people gave more than one record."""
        return SAME_PERSON.get(self.header.name, self.header.name)

    @property
    def flutter(self) -> list[tuple[float, float]]:
        """Where no beats are annotated because there are none."""
        return [(each.start_s, each.end_s) for each in self.labels.flutter]


@dataclass(frozen=True)
class Result:
    """What a detector made of the records, and the processor time that it took."""

    name: str
    matches: dict[str, BeatMatch]
    cpu_s: float


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, action="append", required=True, help="a folder of WFDB records")
    parser.add_argument(
        "--cross-validate", action="store_true", help="judge patients by a scorer fitted on others"
    )
    parser.add_argument(
        "--peer", action="append", choices=sorted(PEERS), help="default: sleepecg and neurokit2"
    )
    parser.add_argument("--chunk-s", type=float, default=60.0, help="our detector is fed so much at once")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    try:
        records = [record for path in find_records(options.data) if (record := read(path)) is not None]
        if not records:
            print("no record with beat annotations in these folders", file=sys.stderr)
            return 3
        results = measure(
            records, options.chunk_s, options.cross_validate, options.peer or ["sleepecg", "neurokit2"]
        )
    except EdgeAIError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if options.json:
        print(json.dumps(as_json(records, results), indent=1))
    else:
        print_tables(records, results)
    return 0


def read(path: Path) -> Record | None:
    """Read what is written about a record; None where no beats are annotated."""
    record = Record(header := read_header(path), read_labels(header))
    return record if len(record.labels.beat_s) else None


def measure(
    records: Sequence[Record], chunk_s: float, cross_validate: bool, peers: Sequence[str]
) -> list[Result]:
    """Run every detector on every record, turn by turn, so that what else the machine does falls on all alike."""
    scorers = cross_fitted(records) if cross_validate else {}
    detectors: dict[str, Detector] = {}
    for name in peers:
        try:
            detectors[name] = PEERS[name]()
        except ImportError:
            print(f"{name} is not installed and left out", file=sys.stderr)
    matches: dict[str, dict[str, BeatMatch]] = {name: {} for name in ("edgeai", *detectors)}
    cpu_s = dict.fromkeys(matches, 0.0)
    for record in records:
        lead = np.nan_to_num(read_signal(record.header)[:, 0].astype(np.float64))
        scorer = scorers.get(record.patient) or shipped_scorer()
        for name, detector in {"edgeai": ours(scorer, chunk_s), **detectors}.items():
            started = time.process_time()
            detected_s = detector(lead, record.header.rate_hz)
            cpu_s[name] += time.process_time() - started
            matches[name][record.header.name] = match_beats(detected_s, record.labels.beat_s, record.flutter)
    return [Result(name, matches[name], cpu_s[name]) for name in matches]


def cross_fitted(records: Sequence[Record]) -> dict[str, BeatScorer]:
    """Give each patient a scorer that was fitted on others."""
    patients = sorted({record.patient for record in records})
    examples = {
        record.header.name: beat_examples(
            read_signal(record.header), record.header.rate_hz, record.labels.beat_s, record.flutter, seed
        )
        for seed, record in enumerate(records)
    }
    scorers = {}
    for fold in range(FOLDS):
        held_out = set(patients[fold::FOLDS])
        others = [
            each
            for record in records
            if record.patient not in held_out
            for each in examples[record.header.name]
        ]
        scorers.update(dict.fromkeys(held_out, fit_beat_scorer(others)))
        print(f"fitted {fold + 1} of {FOLDS}", file=sys.stderr)
    return scorers


def ours(scorer: BeatScorer, chunk_s: float) -> Detector:
    """Our detector, fed chunk by chunk."""

    def detect(lead: Lead, rate_hz: float) -> Lead:
        detector, size = QrsDetector(rate_hz, scorer), max(1, round(chunk_s * rate_hz))
        parts = [detector.push(lead[at : at + size]) for at in range(0, len(lead), size)]
        return Beats.joined([*parts, detector.flush()]).times_s

    return detect


def sleepecg() -> Detector:
    """sleepecg's detector, compiled C."""
    package = importlib.import_module("sleepecg")
    return lambda lead, rate_hz: package.detect_heartbeats(lead, rate_hz) / rate_hz


def gqrs() -> Detector:
    """gqrs as the Python package wfdb has it."""
    package: Any = importlib.import_module("wfdb.processing")
    return lambda lead, rate_hz: np.asarray(package.gqrs_detect(lead, fs=rate_hz), dtype=np.float64) / rate_hz


def neurokit2() -> Detector:
    """NeuroKit's cleaning and default detector."""
    package: Any = importlib.import_module("neurokit2")

    def detect(lead: Lead, rate_hz: float) -> Lead:
        clean = package.ecg_clean(lead, sampling_rate=round(rate_hz))
        _, info = package.ecg_peaks(clean, sampling_rate=round(rate_hz))
        return np.asarray(info["ECG_R_Peaks"], dtype=np.float64) / rate_hz

    return detect


PEERS: dict[str, Callable[[], Detector]] = {"sleepecg": sleepecg, "gqrs": gqrs, "neurokit2": neurokit2}


def figures(records: Sequence[Record], result: Result) -> dict[str, float | str]:
    """The figures of one detector, with the 95 % interval of F1 over patients."""
    patients = sorted({record.patient for record in records})
    of = {p: [result.matches[r.header.name] for r in records if r.patient == p] for p in patients}
    right = [2 * sum(match.found for match in of[p]) for p in patients]
    all_ = [
        n + sum(len(m.missed_s) + len(m.extra_s) for m in of[p]) for n, p in zip(right, patients, strict=True)
    ]
    found = sum(right) // 2
    missed = sum(len(match.missed_s) for match in result.matches.values())
    extra = sum(len(match.extra_s) for match in result.matches.values())
    worst = min(result.matches, key=lambda name: result.matches[name].f1)
    low, high = ratio_bootstrap(right, all_)
    return {
        "f1": 2 * found / (2 * found + missed + extra),
        "f1_low": low,
        "f1_high": high,
        "sensitivity": found / (found + missed),
        "ppv": found / (found + extra),
        "missed": missed,
        "extra": extra,
        "worst_record": worst,
        "worst_f1": result.matches[worst].f1,
        "cpu_s": result.cpu_s,
    }


def as_json(records: Sequence[Record], results: Sequence[Result]) -> dict[str, Any]:
    """All figures and rows."""
    return {
        "task": "qrs",
        "records": len(records),
        "beats": sum(match.found + len(match.missed_s) for match in results[0].matches.values()),
        "detectors": {result.name: figures(records, result) for result in results},
        "rows": [
            {
                "record": record.header.name,
                **{result.name: result.matches[record.header.name].f1 for result in results},
                "missed": len(results[0].matches[record.header.name].missed_s),
                "extra": len(results[0].matches[record.header.name].extra_s),
            }
            for record in records
        ],
    }


def print_tables(records: Sequence[Record], results: Sequence[Result]) -> None:
    """The detectors, and the ten records that are hardest for ours."""
    print(
        f"{'detector':<12}{'F1 %':>8}{'95 % by patient':>18}{'sens. %':>9}{'PPV %':>8}{'worst record':>16}{'CPU s':>8}"
    )
    for result in results:
        row: dict[str, Any] = figures(records, result)
        interval = f"{100 * row['f1_low']:.2f} to {100 * row['f1_high']:.2f}"
        worst = f"{100 * row['worst_f1']:.2f} ({row['worst_record']})"
        print(
            f"{result.name:<12}{100 * row['f1']:>8.2f}{interval:>18}{100 * row['sensitivity']:>9.2f}"
            f"{100 * row['ppv']:>8.2f}{worst:>16}{row['cpu_s']:>8.2f}"
        )
    print(
        f"\n{'record':<12}"
        + "".join(f"{result.name:>12}" for result in results)
        + f"{'missed':>9}{'extra':>8}"
    )
    rows = as_json(records, results)["rows"]
    for row in sorted(rows, key=lambda row: row["edgeai"])[:10]:
        shares = "".join(f"{100 * row[result.name]:>12.2f}" for result in results)
        print(f"{row['record']:<12}{shares}{row['missed']:>9}{row['extra']:>8}")


if __name__ == "__main__":
    sys.exit(main())
