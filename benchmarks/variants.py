"""Every shipped model and its variants: size, time, agreement, memory, and what the gate says of each on this machine.

Samples are real where their folder is given: --imaging (folders xray224, mri, ct and foreign, each with labels.csv),
--ecg (WFDB records with rhythms), --beats (WFDB records with beats), --photographs (for the backbone), --drive (for the
detector). Without a folder its models are left out. Simulated parts are what the model of the flange sees. Models that
are no networks of convolutions (tree ensembles) have nothing to calibrate: they are shown on made numbers.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeai_core.cli.model_quantize import rows
from edgeai_core.optimize.samples import Samples
from edgeai_core.optimize.variants import make_variants
from edgeai_core.runners.card import card_path, read_card
from edgeai_core.runners.model_file import read_model_file
from edgeai_core.runners.tensors import noise

APPS = Path(__file__).parent.parent / "apps"
MOST = 200


def main() -> None:
    """Print a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--imaging", type=Path, help="folder with xray224, mri, ct and foreign")
    parser.add_argument("--ecg", type=Path, help="folder of WFDB records")
    parser.add_argument("--beats", type=Path, help="folder of WFDB records with annotated beats")
    parser.add_argument("--photographs", type=Path, help="folder of pictures")
    parser.add_argument("--drive", type=Path, help="folder of pictures from a car")
    parser.add_argument("--model", action="append", help="only models whose path holds this; may be repeated")
    options = parser.parse_args()
    for path in sorted(APPS.rglob("models/**/*.onnx")):
        name = str(path.relative_to(APPS))
        if options.model and not any(each in name for each in options.model):
            continue
        samples = samples_for(path, options)
        if samples is None:
            print(f"\n{name}: no samples given\n")
            continue
        report = make_variants(read_model_file(path), samples)
        print(
            f"\n{name}: {report.calibrated} samples of {samples.origin} calibrate, {report.judged} others judge\n"
        )
        table = rows(report)
        print("| " + " | ".join(table[0]) + " |\n" + "|---" * len(table[0]) + "|")
        for row in table:
            print("| " + " | ".join(row.values()) + " |", flush=True)


def samples_for(path: Path, options: argparse.Namespace) -> Samples | None:
    """Return samples of what a model sees at work; None where their folder was not given."""
    maker = SAMPLES.get(path.stem if path.stem != "model" else path.parent.name)
    return maker(path, options) if maker is not None else None


def imaging(path: Path, options: argparse.Namespace) -> Samples | None:
    """Return prepared films or slices of the split val, which the network never saw, in random order."""
    if options.imaging is None:
        return None
    from apps.healthcare.imaging.gate import gate_square
    from apps.healthcare.imaging.preprocess import prepare

    card = read_card(card_path(path))
    calls, labels = [], []
    folders = {
        "xray": ["xray224"], "mri": ["mri"], "ct": ["ct"], "gate": ["xray224", "mri", "ct", "foreign"]
    }[path.stem]  # fmt: skip
    for folder in folders:
        for file, label in _listed(options.imaging / folder):
            grey = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
            if grey is None:
                continue
            pixels = np.asarray(grey, dtype=np.uint8)
            square = gate_square(pixels) if path.stem == "gate" else prepare(pixels, path.stem).square
            calls.append({"image": np.ascontiguousarray(square[None, None])})
            name = folder.removesuffix("224") if path.stem == "gate" else label
            labels.append(card.classes.index(name))
    order = np.random.default_rng(0).permutation(len(calls))[:MOST]
    return Samples(tuple(calls[row] for row in order), np.array(labels)[order], "+".join(folders))


def _listed(folder: Path) -> Iterator[tuple[Path, str]]:
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] == "val":
                yield folder / row["file"], row["label"]


def ecg(path: Path, options: argparse.Namespace) -> Samples | None:
    """Return windows of both leads from every record, as many of each, the ventricular ones first."""
    if options.ecg is None:
        return None
    from apps.healthcare.ecg.annotations import find_records
    from apps.healthcare.ecg.rhythm import LONG
    from apps.healthcare.ecg.windows import load_record

    calls = []
    records = find_records([options.ecg])
    rng = np.random.default_rng(0)
    for record in map(load_record, records):
        starts = rng.integers(0, max(1, len(record.trace) - LONG), max(1, 2 * MOST // len(records)))
        windows = [record.trace[start : start + LONG].T[None] for start in starts]
        calls += [
            {"ecg": np.ascontiguousarray(each, dtype=np.float32)} for each in windows if each.shape[2] == LONG
        ]
    order = rng.permutation(len(calls))[: 2 * MOST]
    return Samples(tuple(calls[row] for row in order), None, f"{options.ecg.name}, {len(records)} records")


def beats(path: Path, options: argparse.Namespace) -> Samples | None:
    """Return described beats of both leads, as many of each record."""
    if options.beats is None:
        return None
    from apps.healthcare.ecg.annotations import find_records, read_header, read_signal
    from apps.healthcare.ecg.beat_records import describe_signal

    records = find_records([options.beats])[::6]
    calls, rng = [], np.random.default_rng(0)
    for record in records:
        header = read_header(record)
        minutes = round(2 * 60 * header.rate_hz)
        described = describe_signal(read_signal(header, 0, minutes)[:, :2], header.rate_hz)
        for row in rng.permutation(len(described))[: 1 + 2 * MOST // len(records)]:
            some = {"rhythm": described.rhythm, "shape": described.shape, "waves": described.waves}
            calls.append({name: np.ascontiguousarray(each[row : row + 1]) for name, each in some.items()})
    order = rng.permutation(len(calls))[: 2 * MOST]
    origin = f"{options.beats.name}, {len(records)} records"
    return Samples(tuple(calls[row] for row in order), None, origin)


def photographs(path: Path, options: argparse.Namespace) -> Samples | None:
    """Return photographs as the backbone sees them."""
    if options.photographs is None:
        return None
    calls: list[dict[str, NDArray[np.generic]]] = []
    for pixels in _pictures(options.photographs):
        square = cv2.resize(pixels, (224, 224), interpolation=cv2.INTER_AREA)[..., ::-1].astype(np.float32)
        planes = ((square - 127) / 128).transpose(2, 0, 1)[None]
        calls.append({"image": np.ascontiguousarray(planes, dtype=np.float32)})
    return Samples(tuple(calls), None, options.photographs.name)


def drive(path: Path, options: argparse.Namespace) -> Samples | None:
    """Return pictures from a car as the detector sees them."""
    if options.drive is None:
        return None
    from edgeai_core.vision.letterbox import letterbox

    (spec,) = read_card(card_path(path)).inputs
    height, width = (int(size) for size in spec.shape[2:])
    calls: list[dict[str, NDArray[np.generic]]] = []
    for pixels in _pictures(options.drive):
        boxed, _ = letterbox(pixels, width, height, centred=False)
        calls.append({spec.name: np.ascontiguousarray(boxed.transpose(2, 0, 1)[None], dtype=np.float32)})
    return Samples(tuple(calls), None, options.drive.name)


def parts(path: Path, options: argparse.Namespace) -> Samples:
    """Return simulated flanges, good and bad, as their model sees them."""
    from apps.manufacturing.inspection.adapt import simulated_parts
    from apps.manufacturing.inspection.inspector import inputs_of

    made = simulated_parts(MOST, 0)
    return Samples(tuple(inputs_of(pixels, 224) for pixels, _ in made), None, "simulated flanges")


def _pictures(folder: Path) -> Iterator[NDArray[np.uint8]]:
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in (".jpg", ".png"))
    for file in files[:: max(1, len(files) // 150)][:150]:
        pixels = cv2.imread(str(file))
        if pixels is not None:
            yield np.asarray(pixels, dtype=np.uint8)


def made_numbers(path: Path, options: argparse.Namespace) -> Samples | None:
    """Return noise of the card's shapes, for what has nothing to calibrate."""
    inputs = read_card(card_path(path)).inputs
    return Samples(tuple(noise(inputs, seed) for seed in range(32)), None, "made numbers")


SAMPLES: dict[str, Callable[[Path, argparse.Namespace], Samples | None]] = {
    "xray": imaging, "mri": imaging, "ct": imaging, "gate": imaging, "rhythm": ecg, "beat_class": beats,
    "backbone": photographs, "road": drive, "flange": parts, "boards": made_numbers, "life": made_numbers,
}  # fmt: skip


if __name__ == "__main__":
    main()
