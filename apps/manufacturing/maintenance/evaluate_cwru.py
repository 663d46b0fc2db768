"""Figures on the bearing data of Case Western Reserve University: kinds of damage, and damage against none.

Two splits. *Across loads* the same bearings are on both sides: it says that a bearing taught at some loads is known
at another. *Unseen sizes* has other bearings on the other side: it says what to expect of a machine of one's own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from apps.manufacturing.maintenance.anomaly import Baseline, features
from apps.manufacturing.maintenance.cwru import BearingFile, all_cases, data_ref, read_folder, stretches
from apps.manufacturing.maintenance.damage import BearingJudge, Case, fit_judge
from apps.manufacturing.maintenance.decide import Limits
from apps.manufacturing.maintenance.options import EvaluateOptions
from apps.manufacturing.maintenance.vibration import indicators
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.metrics.evaluation import Evaluation, Figure, ModelRef
from edgeai_core.metrics.intervals import ratio_bootstrap
from edgeai_core.signals.resample import StreamResampler

TASK = "manufacturing.maintenance"

COMMON_RATE_HZ = 12_000.0
HEALTHY = 0.6
"""The detector learns on so much of a normal recording, from its start; the rest of it is judged."""


@dataclasses.dataclass
class Split:
    """What came of one held-out part: by recording, how many windows, right ones, and ones not told."""

    name: str
    rows: list[dict[str, object]]

    def counts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
        """Windows, right ones and ones not told of each recording, and its bearing."""
        columns = [
            np.array([float(str(row[key])) for row in self.rows])
            for key in ("windows", "right", "cannot_tell")
        ]
        return columns[0], columns[1], columns[2], [str(row["bearing"]) for row in self.rows]


def evaluate_cwru(data: Path, options: EvaluateOptions, progress: Progress) -> Evaluation:
    """Judge a folder of recordings. A window is a second, judged with all that its recording said before it."""
    files = read_folder(data)
    faulty = [file for file in files if file.fault != "normal"]
    cases = all_cases(faulty, progress)
    model = ModelRef("bearing, taught on each split's other part", "1.0.0")
    figures: dict[str, Figure] = {}
    rows: list[Mapping[str, object]] = []
    if options.model is not None:
        judge = BearingJudge.load(options.model / "bearing.npz")
        split = _judged("taught model", judge, faulty, cases)
        figures["accuracy"] = _share(
            [split], "right", "the model of --model; its own training data flatter it"
        )
        figures["cannot_tell_share"] = _share([split], "cannot_tell", "")
        model = ModelRef("bearing", "taught", None)
        rows += split.rows
    else:
        slow = [file for file in faulty if file.rate_hz == min(each.rate_hz for each in faulty)]
        loads, sizes = _by_load(slow, cases), _by_size(slow, cases)
        figures["accuracy_across_loads"] = _share(
            loads, "right", "same bearings on both sides; cannot tell is wrong"
        )
        figures |= _unseen(sizes)
        figures["accuracy_unseen_sizes_lines_alone"] = _mean_of_parts(
            _by_size(slow, cases, memory=False), "right", "without what was taught of other bearings"
        )
        figures["accuracy_unseen_sizes_forest"] = _forest(slow, cases)
        for each in (*loads, *sizes):
            rows += each.rows
    normal, more = _normal_against_fault(files)
    figures |= normal
    return Evaluation(TASK, model, (data_ref(files),), figures, (*rows, *more))


def _by_load(files: Sequence[BearingFile], cases: Mapping[str, list[Case]]) -> list[Split]:
    return [
        _held_out(f"load {load}", files, cases, [file.load_hp == load for file in files])
        for load in sorted({file.load_hp for file in files})
    ]


def _by_size(
    files: Sequence[BearingFile], cases: Mapping[str, list[Case]], *, memory: bool = True
) -> list[Split]:
    return [
        _held_out(f"size {size:g}", files, cases, [file.size_inch == size for file in files], memory=memory)
        for size in sorted({file.size_inch for file in files})
    ]


def _held_out(
    name: str,
    files: Sequence[BearingFile],
    cases: Mapping[str, list[Case]],
    out: Sequence[bool],
    *,
    memory: bool = True,
) -> Split:
    taught = [case for file, held in zip(files, out, strict=True) if not held for case in cases[file.name]]
    if not taught:
        raise InputError("recordings of one load or one size only: nothing is left to teach on")
    judge = fit_judge(taught)
    if not memory:
        judge = dataclasses.replace(judge, gate=0.0)
    return _judged(name, judge, [file for file, held in zip(files, out, strict=True) if held], cases)


def _judged(
    name: str, judge: BearingJudge, files: Sequence[BearingFile], cases: Mapping[str, list[Case]]
) -> Split:
    rows: list[dict[str, object]] = []
    for file in files:
        said = [judge.judge(case.prominences, case.bands).kind for case in cases[file.name]]
        rows.append(
            {
                "split": name,
                "recording": file.name,
                "bearing": file.bearing,
                "kind": file.fault,
                "windows": len(said),
                "right": sum(kind == file.fault for kind in said),
                "cannot_tell": sum(kind == "cannot tell" for kind in said),
                "said_last": said[-1] if said else "",
            }
        )
    return Split(name, rows)


def _share(splits: Sequence[Split], what: str, note: str) -> Figure:
    """The share of all windows, with an interval by bearing."""
    windows, right, silent, bearings = (
        np.concatenate(part) for part in zip(*[s.counts() for s in splits], strict=True)
    )
    counted = right if what == "right" else silent
    names = np.unique(bearings)
    top = [float(counted[bearings == name].sum()) for name in names]
    bottom = [float(windows[bearings == name].sum()) for name in names]
    return Figure.of(
        float(sum(top) / sum(bottom)),
        ratio_bootstrap(top, bottom),
        int(sum(bottom)),
        note=f"by {len(names)} bearings; {note}",
    )


def _mean_of_parts(splits: Sequence[Split], what: str, note: str) -> Figure:
    """The mean over the parts, each of which weighs the same, with an interval by bearing."""
    windows, right, silent, bearings = (
        np.concatenate(part) for part in zip(*[s.counts() for s in splits], strict=True)
    )
    counted = right if what == "right" else silent
    names = np.unique(bearings)
    share = [float(counted[bearings == name].sum() / windows[bearings == name].sum()) for name in names]
    parts = [
        float((s.counts()[1] if what == "right" else s.counts()[2]).sum() / s.counts()[0].sum())
        for s in splits
    ]
    return Figure.of(
        float(np.mean(parts)),
        ratio_bootstrap(share, np.ones(len(share))),
        int(windows.sum()),
        note=f"mean of {len(parts)} sizes, interval by {len(names)} bearings; {note}",
    )


def _unseen(splits: Sequence[Split]) -> dict[str, Figure]:
    silent = sum(float(split.counts()[2].sum()) for split in splits)
    windows = sum(float(split.counts()[0].sum()) for split in splits)
    right = sum(float(split.counts()[1].sum()) for split in splits)
    told = windows - silent
    figures = {
        "accuracy_unseen_sizes": _mean_of_parts(splits, "right", "of all windows: cannot tell is wrong"),
        "cannot_tell_share": _mean_of_parts(splits, "cannot_tell", "of the same windows"),
        "accuracy_unseen_sizes_told": Figure.of(
            right / told if told else None, None, int(told), note="of windows told"
        ),
    }
    for split in splits:
        count, good, _, _ = split.counts()
        name = f"accuracy_unseen_{split.name.replace('size ', '').replace('.', 'p')}"
        figures[name] = Figure.of(float(good.sum() / count.sum()), None, int(count.sum()), note="one size")
    return figures


def _forest(files: Sequence[BearingFile], cases: Mapping[str, list[Case]]) -> Figure:
    """The peer: a forest on levels by band, as most tutorials do, on the same split."""
    from sklearn.ensemble import RandomForestClassifier

    shares = []
    for size in sorted({file.size_inch for file in files}):
        train = [case for file in files if file.size_inch != size for case in cases[file.name]]
        test = [case for file in files if file.size_inch == size for case in cases[file.name]]
        forest = RandomForestClassifier(100, random_state=0)
        forest.fit(np.array([case.bands for case in train]), [case.kind for case in train])
        said = forest.predict(np.array([case.bands for case in test]))
        shares.append(float(np.mean([kind == case.kind for kind, case in zip(said, test, strict=True)])))
    return Figure.of(
        float(np.mean(shares)), None, sum(len(c) for c in cases.values()), note="peer: band levels, forest"
    )


def _normal_against_fault(
    files: Sequence[BearingFile],
) -> tuple[dict[str, Figure], list[Mapping[str, object]]]:
    """The detector learns on a part of the normal recording; the rest and all faults are judged, at their own rate
    and brought to one rate. A detector that reads the rate would tell recordings apart that differ in nothing else."""
    normal = [file for file in files if file.fault == "normal"]
    if not normal:
        return {}, []
    limit = Limits().anomaly
    rows: list[Mapping[str, object]] = []
    quiet_right = quiet = found = faults = 0
    moved: list[float] = []
    for file in normal:
        own, common = _scores(file, file, file.rate_hz), _scores(file, file, COMMON_RATE_HZ)
        across = _scores(file, file, file.rate_hz, COMMON_RATE_HZ)
        quiet += len(own)
        quiet_right += sum(score <= limit for score in own)
        moved += [abs(one - other) for one, other in zip(own, across, strict=False)]
        rows.append(_row(file, own, common, across))
    for file in files:
        if file.fault == "normal":
            continue
        own, common = _scores(normal[0], file, file.rate_hz), _scores(normal[0], file, COMMON_RATE_HZ)
        faults += len(common)
        found += sum(score > limit for score in common)
        rows.append(_row(file, own, common, []))
    note = "one normal recording there is, so by windows of it"
    return {
        "normal_called_normal": Figure.share(quiet_right, quiet, note),
        "fault_detected": Figure.share(
            found, faults, "all recordings brought to 12 kHz; windows of a recording are alike"
        ),
        "score_moved_by_rate": Figure.of(
            max(moved, default=None),
            None,
            len(moved),
            "spreads",
            f"largest change where the normal recording is judged at 12 kHz, not its own rate; alert at {limit:g}",
        ),
    }, rows


def _row(
    file: BearingFile, own: list[float], common: list[float], across: list[float]
) -> Mapping[str, object]:
    return {
        "recording": file.name,
        "kind": file.fault,
        "rate_hz": file.rate_hz,
        "anomaly_own_rate": float(np.median(own)) if own else None,
        "anomaly_12_khz": float(np.median(common)) if common else None,
        "anomaly_learnt_at_own_judged_at_12_khz": float(np.median(across)) if across else None,
    }


def _scores(
    normal: BearingFile, file: BearingFile, rate_hz: float, judged_rate_hz: float | None = None
) -> list[float]:
    """Anomaly scores of a recording's short stretches; of the normal one only what was not learnt on."""
    taught = _features(normal, rate_hz)
    count = int(HEALTHY * len(taught))
    baseline = Baseline(count)
    for row in taught[:count]:
        baseline.push(row)
    judged = _features(file, judged_rate_hz or rate_hz)
    rest = judged[count:] if file is normal else judged
    return [score for row in rest if (score := baseline.push(row)) is not None]


def _features(file: BearingFile, rate_hz: float) -> list[np.ndarray]:
    """Features of stretches of 0.2 s, brought to a rate where it is lower than the recording's own."""
    if rate_hz < file.rate_hz:
        samples = StreamResampler(file.rate_hz, rate_hz, half_width=32).push(file.acceleration[:, None])[:, 0]
        file = dataclasses.replace(file, acceleration=samples, rate_hz=rate_hz)
    found = []
    size = round(0.2 * file.rate_hz)
    for first in range(0, len(file.acceleration) - size + 1, size):
        piece = dataclasses.replace(file, acceleration=file.acceleration[first : first + size])
        for stretch in stretches(piece, burst=True):
            seen = indicators(stretch, file.rpm / 60)
            if seen is not None:
                found.append(features(seen, {}))
    return found
