"""Described beats of annotated records with the classes that people gave them: what the beat network learns from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.ecg.annotations import Header, Labels, read_header, read_labels, read_signal
from apps.healthcare.ecg.beat_augment import with_early_beats
from apps.healthcare.ecg.beat_class import AAMI_OF, UNKNOWN
from apps.healthcare.ecg.beat_features import BeatDescriber, Described
from apps.healthcare.ecg.beat_matching import pairs
from apps.healthcare.ecg.beat_scorer import BeatScorer
from apps.healthcare.ecg.beats import MAX_LATENCY_S, Beats, MultiLeadDetector
from apps.healthcare.ecg.preprocess import WORKING_RATE_HZ, Clean, Preprocessor
from apps.healthcare.ecg.windows import SAME_PERSON
from edgeai_core.app import Progress
from edgeai_core.learning.checkpoint import load_arrays, save_arrays

DS1 = (
    101, 106, 108, 109, 112, 114, 115, 116, 118, 119, 122, 124, 201, 203, 205, 207, 208, 209, 215, 220, 223, 230,
)  # fmt: skip
DS2 = (
    100, 103, 105, 111, 113, 117, 121, 123, 200, 202, 210, 212, 213, 214, 219, 221, 222, 228, 231, 232, 233, 234,
)  # fmt: skip
"""The two halves of the MIT-BIH Arrhythmia Database, by patient, without the paced records (P. de Chazal et al.,
"Automatic classification of heartbeats using ECG morphology and heartbeat interval features", IEEE Trans. Biomed. Eng.
51:1196-1206, 2004). Records 201 and 202, one on each side, are of one man: the figures of the second half are that much
kinder than those of strangers.
"""

NO_BEAT = "-"
"""What a beat is where people marked none: found by mistake."""

_HOP_S = 0.5
_SINUS = ("N", "SBR", "B", "T", "PREX")  # rhythms led by the sinus node, as far as their normal beats go


@dataclass(frozen=True)
class BeatRecord:
    """Beats of one record.

    ``classes`` (k,): what people say each described beat is, ``NO_BEAT`` where they say nothing. ``missed``: how many
    reference beats of each class were not found or not described. ``varied``: the same record with early beats made.
    """

    name: str
    patient: str
    beats: Described
    classes: tuple[str, ...]
    missed: Counter[str]
    labels: Labels
    varied: tuple[BeatRecord, ...] = ()


def describe_record(
    header: Header,
    labels: Labels,
    patient: str,
    *,
    leads: int = 2,
    scorer: BeatScorer | None = None,
    vary: int = 0,
    seed: int = 0,
) -> BeatRecord:
    """Run a record's first leads through cleaning, detector and describer, as the loop does, and match the beats.

    ``vary``: make so many variants of it, with ``seed``.
    """
    samples = read_signal(header)[:, : min(leads, len(header.ecg_leads))]
    described, signal = _cleaned_and_described(samples, header.rate_hz, scorer)
    classes, missed = matched(described.times_s, labels)
    record = BeatRecord(header.name, patient, described, classes, missed, labels)
    varied = [_varied(record, signal, np.random.default_rng((seed, number))) for number in range(vary)]
    return replace(record, varied=tuple(varied))


def described_records(
    paths: Sequence[Path],
    progress: Progress,
    *,
    vary: Container[str] = (),
    seed: int = 0,
    work: Path | None = None,
) -> list[BeatRecord]:
    """Describe the records that have annotated beats; make a variant of those whose names are in ``vary``.

    With ``work`` each is kept in that folder, and taken from there the next time.
    """
    records = []
    for number, path in enumerate(paths):
        progress("describing beats", number, len(paths))
        header = read_header(path)
        labels = read_labels(header)
        if not labels.beat_s.size:
            continue
        patient = SAME_PERSON.get(header.name, header.name)
        variants = int(header.name in vary)
        kept = None if work is None else work / f"beats-{header.name}-{seed}.npz"
        record = None if kept is None or not kept.exists() else _read(kept, header.name, patient, labels)
        if record is None or len(record.varied) < variants:
            record = describe_record(header, labels, patient, vary=variants, seed=seed + number)
            if kept is not None:
                _write(kept, record)
        records.append(record)
    progress("describing beats", len(paths), len(paths))
    return records


def _write(path: Path, record: BeatRecord) -> None:
    arrays: dict[str, NDArray[np.generic]] = {}
    for number, each in enumerate((record, *record.varied)):
        for name, array in zip(_COLUMNS, _columns(each.beats), strict=True):
            arrays[f"{number}.{name}"] = np.asarray(array)
        arrays[f"{number}.classes"] = np.frombuffer("".join(each.classes).encode(), dtype=np.uint8)
    save_arrays(path, arrays, {"record": record.name})


def _read(path: Path, name: str, patient: str, labels: Labels) -> BeatRecord:
    arrays, _ = load_arrays(path)
    parts: list[BeatRecord] = []
    while f"{len(parts)}.classes" in arrays:
        number = len(parts)
        times_s, *rest = (arrays[f"{number}.{column}"] for column in _COLUMNS)
        beats = Described(times_s.astype(np.float64), *(each.astype(np.float32) for each in rest))
        classes = tuple(arrays[f"{number}.classes"].tobytes().decode())
        missed = matched(beats.times_s, labels)[1] if number == 0 else Counter[str]()
        parts.append(BeatRecord(name, patient, beats, classes, missed, labels))
    return replace(parts[0], varied=tuple(parts[1:]))


def describe_signal(samples_mv: NDArray[np.floating], rate_hz: float) -> Described:
    """Describe the beats of a whole raw signal (n, leads)."""
    return _cleaned_and_described(samples_mv, rate_hz, None)[0]


def _cleaned_and_described(
    samples_mv: NDArray[np.floating], rate_hz: float, scorer: BeatScorer | None
) -> tuple[Described, NDArray[np.float64]]:
    leads = samples_mv.shape[1]
    preprocessor, describer = Preprocessor(rate_hz, leads), BeatDescriber(leads)
    detector = MultiLeadDetector(rate_hz, leads, scorer)
    hop = round(_HOP_S * rate_hz)
    pieces, cleaned = [], []
    for first in range(0, len(samples_mv), hop):
        block = samples_mv[first : first + hop]
        clean = preprocessor.push(block)
        beats = detector.push(block, clean.quality)
        pieces.append(describer.push(beats, clean, (first + len(block)) / rate_hz))
        cleaned.append(clean.samples_mv)
    return joined(pieces), np.concatenate(cleaned)


def _varied(record: BeatRecord, signal: NDArray[np.float64], random: np.random.Generator) -> BeatRecord:
    times_s = record.beats.times_s
    sinus = np.zeros(len(times_s), dtype=bool)
    for each in record.labels.rhythms:
        if each.rhythm in _SINUS:
            sinus |= (times_s >= each.start_s) & (times_s < each.end_s)
    signal, times_s, classes = with_early_beats(signal, times_s, np.array(record.classes), sinus, random)
    described = _described(signal, times_s)
    at = np.searchsorted(times_s, described.times_s - 1e-9)
    return replace(record, beats=described, classes=tuple(classes[at].tolist()), missed=Counter())


def _described(signal: NDArray[np.float64], times_s: NDArray[np.float64]) -> Described:
    """Describe beats at given times of a clean signal (n, leads)."""
    leads = signal.shape[1]
    describer, pieces = BeatDescriber(leads), []
    hop = round(_HOP_S * WORKING_RATE_HZ)
    beats = Beats.at(times_s)
    known = 0
    for first in range(0, len(signal), hop):
        part = signal[first : first + hop]
        clean = Clean(part, part, first, np.ones(leads), np.zeros(leads, dtype=bool))
        now_s = (first + len(part)) / WORKING_RATE_HZ
        until = int(np.searchsorted(times_s, now_s - MAX_LATENCY_S))
        pieces.append(describer.push(beats[known:until], clean, now_s))
        known = max(known, until)
    return joined(pieces)


def matched(times_s: NDArray[np.float64], labels: Labels) -> tuple[tuple[str, ...], Counter[str]]:
    """Give every found beat the class of the reference beat it matches, and count those that match none.

    Inside the stretches of flutter people mark no beats: what is found there is ``UNKNOWN``.
    """
    reference = [AAMI_OF.get(symbol, UNKNOWN) for symbol in labels.beat_symbols]
    classes = [NO_BEAT] * len(times_s)
    found, of = pairs(times_s, labels.beat_s)
    for at, beat in zip(found.tolist(), of.tolist(), strict=True):
        classes[at] = reference[beat]
    for stretch in labels.flutter:
        for at in np.flatnonzero((times_s >= stretch.start_s) & (times_s <= stretch.end_s)).tolist():
            classes[at] = UNKNOWN
    missed = Counter(reference)
    missed.subtract(Counter(reference[beat] for beat in of.tolist()))
    return tuple(classes), +missed


def joined(pieces: Sequence[Described]) -> Described:
    """Several descriptions, of the same leads, as one."""
    some = [piece for piece in pieces if len(piece)]
    if not some:
        return Described.none(1)
    return Described(*(np.concatenate(column) for column in zip(*map(_columns, some), strict=True)))


_COLUMNS = ("times_s", "rhythm", "shape", "waves")


def _columns(beats: Described) -> Iterator[NDArray[np.floating]]:
    yield from (beats.times_s, beats.rhythm, beats.shape, beats.waves)
