"""Where samples come from: WFDB records and CSV files, played at the pace of the loop's clock."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from apps.healthcare.ecg.annotations import read_header, read_signal
from apps.healthcare.ecg.csvfile import open_csv
from apps.healthcare.ecg.recording import Recording, Samples
from edgeai_core.errors import InputError
from edgeai_core.sensors.player import Player, Timed

DEFAULT_LEADS = 3
"""So many leads of a recording are used where none are named."""


@dataclass(frozen=True)
class EcgChunk:
    """A stretch of samples, shape (n, leads), float32 millivolts, read-only; NaN: the device gave no value.

    ``first_index`` counts samples from the start of ``recording``: where it does not follow on from the
    chunk before, or the recording is another, what came before says nothing about what comes now.
    """

    samples_mv: Samples
    rate_hz: float
    lead_names: tuple[str, ...]
    first_index: int = 0
    recording: str = ""
    simulated: bool = False


def ecg_player(
    recordings: Sequence[Callable[[], Recording]],
    *,
    name: str = "ecg",
    chunk_s: float = 0.1,
    repeat: bool = False,
) -> Player[EcgChunk]:
    """Return a source that plays recordings in chunks, each due with its last sample; its sequence counts samples."""
    return Player(name, [partial(_chunks, each, chunk_s) for each in recordings], repeat=repeat)


def recordings_at(path: Path, *, leads: Sequence[str] = ()) -> tuple[Callable[[], Recording], ...]:
    """Return openers for what lies at ``path``.

    A ``.csv`` file, a WFDB record (named with or without ``.hea`` or ``.dat``), or a folder of both, in the
    order of their names. ``leads`` chooses leads by name, in that order; empty means the first three.
    Raises InputError where nothing there can be an electrocardiogram.
    """
    if path.is_dir():
        files = sorted(each for each in path.iterdir() if each.suffix.lower() in (".csv", ".hea"))
        if not files:
            raise InputError(f"{path}: no recording in this folder (*.csv or WFDB *.hea)")
        return tuple(chain.from_iterable(recordings_at(each, leads=leads) for each in files))
    if path.suffix.lower() == ".csv":
        if not path.is_file():
            raise InputError(f"{path}: {'is no file' if path.exists() else 'no such file'}")
        return (lambda: _chosen(open_csv(path), leads),)
    record = path.with_suffix("") if path.suffix.lower() in (".hea", ".dat", ".atr") else path
    if not record.with_name(record.name + ".hea").is_file():
        what = "no such file" if not path.exists() else f"no header {record.name}.hea beside it"
        raise InputError(f"{path}: {what}; name a WFDB record, a .csv file or a folder of them")
    return (lambda: _chosen(open_wfdb(record), leads),)


def open_wfdb(record: Path, *, block_s: float = 30.0) -> Recording:
    """Open a WFDB record (extra ``wfdb``): its ECG leads in millivolts, read ``block_s`` at a time.

    Raises InputError for a header that cannot be read, a signal that is cut short, and a record
    without an ECG lead; MissingExtraError without the extra.
    """
    header = read_header(record)
    count = round(header.duration_s * header.rate_hz)
    try:
        read_signal(header, count - 1, count)
    except InputError as error:
        raise InputError(
            f"{record}: the last of its {count} samples is not there: cut short? ({error})"
        ) from error

    def blocks() -> Iterator[Samples]:
        size = max(1, round(block_s * header.rate_hz))
        for first in range(0, count, size):
            yield read_signal(header, first, min(first + size, count))

    names = _unique([header.leads[column] for column in header.ecg_leads])
    return Recording(record.name, header.rate_hz, names, blocks())


def _chunks(opener: Callable[[], Recording], chunk_s: float) -> Generator[Timed[EcgChunk], None, None]:
    with closing(opener()) as recording:
        first = 0
        for samples in _in_pieces(recording.blocks, max(1, round(chunk_s * recording.rate_hz))):
            samples.flags.writeable = False
            chunk = EcgChunk(
                samples, recording.rate_hz, recording.lead_names, first, recording.name, recording.simulated
            )
            first += len(samples)
            yield Timed(round(first / recording.rate_hz * 1e9), chunk, len(samples))


def _chosen(recording: Recording, leads: Sequence[str]) -> Recording:
    """Return the recording with the leads asked for, in that order; without any, its first ``DEFAULT_LEADS``."""
    names = tuple(leads) or recording.lead_names[:DEFAULT_LEADS]
    missing = [lead for lead in names if lead not in recording.lead_names]
    if missing:
        recording.close()
        has = ", ".join(recording.lead_names)
        raise InputError(f"{recording.name}: has no lead {', '.join(missing)} (it has {has})")
    columns = [recording.lead_names.index(lead) for lead in names]
    return replace(recording, lead_names=names, blocks=(block[:, columns] for block in recording.blocks))


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names, numbered where one occurs again: ECG, ECG 2."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return tuple(out)


def _in_pieces(blocks: Iterator[Samples], size: int) -> Iterator[Samples]:
    """Cut blocks of any size into pieces of ``size`` samples, each its own array; the last may be shorter."""
    rest: Samples | None = None
    for block in blocks:
        rest = block if rest is None or not len(rest) else np.concatenate([rest, block])
        whole = len(rest) // size * size
        for first in range(0, whole, size):
            yield np.array(rest[first : first + size], dtype=np.float32)
        rest = rest[whole:]
    if rest is not None and len(rest):
        yield np.array(rest, dtype=np.float32)
