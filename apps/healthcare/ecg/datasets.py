"""What is known of the databases that records come from: names, licences, whom to name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apps.healthcare.ecg.windows import Record
from edgeai_core.metrics.evaluation import DataRef
from edgeai_core.runners.card import TrainingData


@dataclass(frozen=True)
class _Database:
    name: str
    origin: str
    licence: str
    attribution: str


_PHYSIONET = (
    " Goldberger AL et al. PhysioBank, PhysioToolkit, and PhysioNet. Circulation 101(23):e215-e220, 2000."
)

_DATABASES = {
    "mitdb": _Database(
        "MIT-BIH Arrhythmia Database 1.0.0",
        "https://physionet.org/content/mitdb/1.0.0/",
        "ODC-By-1.0",
        "Moody GB, Mark RG. The impact of the MIT-BIH Arrhythmia Database. IEEE Eng Med Biol 20(3):45-50, 2001."
        + _PHYSIONET,
    ),
    "vfdb": _Database(
        "MIT-BIH Malignant Ventricular Ectopy Database 1.0.0",
        "https://physionet.org/content/vfdb/1.0.0/",
        "ODC-By-1.0",
        "Greenwald SD. Development and analysis of a ventricular fibrillation detector. M.S. thesis, MIT, 1986."
        + _PHYSIONET,
    ),
}
"""By the usual name of their folder."""

_NOT_STATED = "not stated"


def data_refs(records: Sequence[Record]) -> tuple[DataRef, ...]:
    """Say what the data are, one entry for each folder."""
    return tuple(
        DataRef(
            known.name if known else folder,
            known.licence if known else _NOT_STATED,
            {
                "records": len(own),
                "patients": len({record.patient for record in own}),
                "seconds": round(sum(record.header.duration_s for record in own)),
                "records_with_rhythm_labels": sum(r.labels.rhythms_from == "rhythm labels" for r in own),
                "records_with_beats": sum(r.labels.beat_s.size > 0 for r in own),
            },
        )
        for folder, own in _by_folder(records).items()
        for known in [_DATABASES.get(folder)]
    )


def data_refs_of(paths: Sequence[Path]) -> tuple[DataRef, ...]:
    """Say the same of records of which only the paths are known."""
    folders = Counter(path.parent.name for path in paths)
    return tuple(
        DataRef(known.name if known else folder, known.licence if known else _NOT_STATED, {"records": count})
        for folder, count in folders.items()
        for known in [_DATABASES.get(folder)]
    )


def training_data(records: Sequence[Record], split: str) -> tuple[TrainingData, ...]:
    """Say the same for a model's card; a folder of which nothing is known has no stated licence."""
    return training_data_of([record.header.path for record in records], split)


def training_data_of(paths: Sequence[Path], split: str) -> tuple[TrainingData, ...]:
    """Say the same of records by their paths."""
    folders = Counter(path.parent.name for path in paths)
    return tuple(
        TrainingData(known.name, known.origin, known.licence, known.attribution, split)
        if (known := _DATABASES.get(folder))
        else TrainingData(folder, f"a folder of {count} WFDB records", _NOT_STATED, "", split)
        for folder, count in folders.items()
    )


def _by_folder(records: Sequence[Record]) -> dict[str, list[Record]]:
    folders: dict[str, list[Record]] = {}
    for record in records:
        folders.setdefault(record.folder, []).append(record)
    return folders
