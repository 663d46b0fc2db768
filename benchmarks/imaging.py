"""Imaging: what the gate lets through and refuses, and how long a study takes on one core.

    python -m benchmarks.imaging --own xray=DIR --own ct=DIR --own mri=DIR --foreign photographs=DIR --foreign tiles=DIR

``--own`` are folders as ``edgeai evaluate healthcare.imaging`` takes them (split val where there is one);
``--foreign`` are folders of any pictures, looked at in grey: of one with labels.csv those of split val, which the gate
was not taught with. Noise and drawings are made here.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from apps.healthcare.imaging.datasets import load
from apps.healthcare.imaging.findings import FindingClassifier
from apps.healthcare.imaging.gate import Gate
from apps.healthcare.imaging.inbox import study_id
from apps.healthcare.imaging.loop import GATE, NETWORKS, open_triage
from apps.healthcare.imaging.pictures import Picture, Refused
from apps.healthcare.imaging.preprocess import SIDE, Grey, prepare
from apps.healthcare.imaging.sources import Study
from apps.healthcare.imaging.triage import believe
from edgeai_core.loop.snapshot import Stages
from edgeai_core.metrics.intervals import wilson
from edgeai_core.runners.onnx import OnnxRunner

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".JPEG")
_MOST = 600
_RUNS = 30


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--own", action="append", default=[], metavar="MODALITY=DIR")
    parser.add_argument("--foreign", action="append", default=[], metavar="NAME=DIR")
    given = parser.parse_args(arguments)
    shown = _gate_table(
        [each.split("=", 1) for each in given.own], [each.split("=", 1) for each in given.foreign]
    )
    print(f"\n{'time on one core, median of ' + str(_RUNS):48} {'ms':>8} {'times the bare network':>24}")
    rng = np.random.default_rng(0)
    nothing = np.asarray(rng.integers(0, 255, (40, 50)), np.uint8)
    for modality, grey in shown.items() or [("xray", nothing)]:
        _time_rows(modality, np.asarray(cv2.resize(grey, (1400, 1150)), np.uint8))


def _gate_table(own: Sequence[Sequence[str]], foreign: Sequence[Sequence[str]]) -> dict[str, Grey]:
    """Print what the gate does; return the first of its own pictures by modality."""
    first: dict[str, Grey] = {}
    gate = Gate(OnnxRunner(GATE))
    print(f"{'gate':34} {'n':>5} {'let through':>12}  95 %             reasons")
    for modality, folder in own:
        dataset = load(Path(folder), modality, lambda *_: None)
        held = dataset.of("val") if any(item.split == "val" for item in dataset.items) else dataset
        greys = [item.grey for item in held.items]
        first[modality] = greys[0]
        _row(f"own: {modality}", gate, greys, modality)
        _row(f"own: {modality}, handed in as another", gate, greys, "ct" if modality != "ct" else "xray")
        if modality == "xray":
            _row("films upside down", gate, [np.ascontiguousarray(each[::-1, ::-1]) for each in greys], None)
            _row("films on their side", gate, [np.ascontiguousarray(np.rot90(each)) for each in greys], None)
            _row(
                "left halves of films",
                gate,
                [np.ascontiguousarray(each[:, : each.shape[1] // 2]) for each in greys],
                None,
            )
            _row(
                "upper halves of films",
                gate,
                [np.ascontiguousarray(each[: each.shape[0] // 2]) for each in greys],
                None,
            )
    for name, folder in foreign:
        _row(f"foreign: {name}", gate, list(_pictures(Path(folder))), None)
    rng = np.random.default_rng(12345)
    _row("foreign: noise of any grain", gate, [_noise(rng) for _ in range(300)], None)
    _row(
        "foreign: one grey level",
        gate,
        [np.full((200, 200), int(level), np.uint8) for level in range(0, 256, 8)],
        None,
    )
    return first


def _row(name: str, gate: Gate, greys: Sequence[Grey], stated: str | None) -> None:
    reasons: Counter[str] = Counter()
    for grey in greys:
        try:
            gate.admit(Picture(grey, "benchmark"), stated)
        except Refused as refusal:
            reasons[refusal.reason] += 1
    let = len(greys) - reasons.total()
    low, high = wilson(let, len(greys))
    told = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    print(f"{name:34} {len(greys):5} {let / max(len(greys), 1):12.2%}  {low:6.2%} - {high:6.2%}  {told}")


def _pictures(folder: Path) -> Iterator[Grey]:
    """Yield pictures in grey: those of split val where the folder says which are held out, at most 600."""
    table = folder / "labels.csv"
    paths = sorted(each for each in folder.rglob("*") if each.suffix in _SUFFIXES)
    if table.is_file():
        held = {line.split(",")[0] for line in table.read_text().splitlines() if ",val" in line}
        paths = [each for each in paths if str(each.relative_to(folder)) in held] or paths
    for path in paths[:: max(len(paths) // _MOST, 1)][:_MOST]:
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if grey is not None:
            yield np.asarray(grey, dtype=np.uint8)


def _noise(rng: np.random.Generator) -> Grey:
    height, width = (int(each) for each in rng.integers(64, 400, 2))
    grain = int(rng.integers(2, 200))
    noise = rng.normal(128, float(rng.uniform(10, 90)), (grain, grain))
    return np.asarray(np.clip(cv2.resize(noise, (width, height)), 0, 255), dtype=np.uint8)


def _time_rows(modality: str, picture: Grey) -> None:
    """A whole study of 1400 x 1150 pixels, beside the bare network on the same core in the same run."""
    triage = open_triage({})
    classifier = FindingClassifier(OnnxRunner(NETWORKS[modality]), modality)
    content = bytes(cv2.imencode(".jpg", picture)[1])
    study = Study(study_id(content), "study.jpg", modality, content, len(content))
    image = {"image": np.zeros((1, 1, SIDE, SIDE), np.float32)}
    runner = OnnxRunner(NETWORKS[modality])
    whole, bare, judged = [], [], []
    for _ in range(_RUNS):
        started = time.perf_counter()
        answer = triage.answer(study, Stages())
        answered = time.perf_counter()
        runner.run(image)
        ran = time.perf_counter()
        believe(classifier, prepare(picture, modality))
        judged.append(time.perf_counter() - ran)
        bare.append(ran - answered)
        whole.append(answered - started)
    network = float(np.median(bare))
    status = answer.decision.output.status.lower()
    for name, seconds in (
        (f"{modality}: the bare network, once", network),
        (f"{modality}: prepare, look twice, join", float(np.median(judged))),
        (f"{modality}: a whole study, JPEG in ({status})", float(np.median(whole))),
    ):
        print(f"{name:48} {seconds * 1e3:8.1f} {seconds / network:24.2f}")


if __name__ == "__main__":
    main()
