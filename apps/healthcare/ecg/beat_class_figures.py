"""Figures of beat classes: sensitivity, positive predictive value and F1 of each, from the detector on, by record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from apps.healthcare.ecg.beat_class import CLASSES, UNKNOWN
from apps.healthcare.ecg.beat_records import NO_BEAT
from edgeai_core.metrics.evaluation import Figure
from edgeai_core.metrics.intervals import grouped_bootstrap


@dataclass(frozen=True)
class Confusion:
    """Counts of one record: ``table[true, said]``, where true may be ``NO_BEAT``; ``missed`` are beats not found."""

    patient: str
    name: str
    table: Counter[tuple[str, str]] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(
        cls, patient: str, name: str, true: Sequence[str], said: Sequence[str], missed: Mapping[str, int]
    ) -> Confusion:
        """Count; ``true`` and ``said`` are of the same beats. What people could not class, or paced, is left out."""
        table = Counter(pair for pair in zip(true, said, strict=True) if pair[0] != UNKNOWN)
        return cls(patient, name, table, Counter(missed))


def class_figures(confusions: Sequence[Confusion], note: str = "") -> dict[str, Figure]:
    """Figures pooled over records, intervals by record.

    ``aami_v_f1`` and the like count all: a beat that was not found is missed, one that is none and got the class is
    false. ``..._of_found_beats`` counts only beats that match a reference beat. ``..._ec57`` leaves out, as
    ANSI/AAMI EC57 does, fusion beats that are called ventricular.
    """
    figures: dict[str, Figure] = {}
    for name in CLASSES:
        key = f"aami_{name.lower()}"
        figures[f"{key}_sensitivity"] = _figure(confusions, name, _sensitivity, note)
        figures[f"{key}_ppv"] = _figure(confusions, name, _ppv, note)
        figures[f"{key}_f1"] = _figure(confusions, name, _f1, note)
        if name in ("S", "V"):
            found = [Confusion(each.patient, each.name, _of_beats(each)) for each in confusions]
            figures[f"{key}_f1_of_found_beats"] = _figure(found, name, _f1, note)
    as_ec57 = [
        Confusion(each.patient, each.name, _without(each.table, ("F", "V")), each.missed)
        for each in confusions
    ]
    figures["aami_v_f1_ec57"] = _figure(as_ec57, "V", _f1, note)
    return figures


def class_rows(confusions: Sequence[Confusion]) -> list[dict[str, object]]:
    """One row for each record: how many of each class, found right, and called so wrongly."""
    rows: list[dict[str, object]] = []
    for each in confusions:
        row: dict[str, object] = {"record": each.name}
        for name in CLASSES:
            hits, missed, false = _counts([each], name)
            row |= {f"{name}_beats": hits + missed, f"{name}_right": hits, f"{name}_false": false}
        rows.append(row)
    return rows


Measure = Callable[[int, int, int], float]


def _figure(confusions: Sequence[Confusion], name: str, measure: Measure, note: str) -> Figure:
    hits, missed, false = _counts(confusions, name)
    if not hits + missed:
        return Figure(None, None, None, 0, note=f"the data hold no beat of class {name}")
    interval = grouped_bootstrap(
        [[each] for each in confusions],
        lambda drawn: measure(*_counts([c for g in drawn for c in g], name)),
        1000,
    )
    return Figure.of(measure(hits, missed, false), interval, hits + missed, note=note)


def _counts(confusions: Sequence[Confusion], name: str) -> tuple[int, int, int]:
    """How many beats of a class were called so, were not, and how many others were."""
    hits = sum(each.table[name, name] for each in confusions)
    missed = sum(
        count for each in confusions for (true, said), count in each.table.items() if true == name != said
    ) + sum(each.missed[name] for each in confusions)
    false = sum(
        count for each in confusions for (true, said), count in each.table.items() if said == name != true
    )
    return hits, missed, false


def _sensitivity(hits: int, missed: int, _false: int) -> float:
    return hits / (hits + missed) if hits + missed else float("nan")


def _ppv(hits: int, _missed: int, false: int) -> float:
    return hits / (hits + false) if hits + false else float("nan")


def _f1(hits: int, missed: int, false: int) -> float:
    return 2 * hits / (2 * hits + missed + false) if hits + missed + false else float("nan")


def _of_beats(confusion: Confusion) -> Counter[tuple[str, str]]:
    return Counter({pair: count for pair, count in confusion.table.items() if pair[0] != NO_BEAT})


def _without(table: Counter[tuple[str, str]], pair: tuple[str, str]) -> Counter[tuple[str, str]]:
    return Counter({each: count for each, count in table.items() if each != pair})
