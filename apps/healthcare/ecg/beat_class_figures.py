"""Figures of beat classes: sensitivity, positive predictive value and F1 of each, from the detector on, by record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from apps.healthcare.ecg.beat_class import CLASSES, UNKNOWN
from apps.healthcare.ecg.beat_records import NO_BEAT
from edgeai_core.metrics.evaluation import Figure
from edgeai_core.metrics.intervals import ratio_bootstrap


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
        figures[f"{key}_sensitivity"] = _figure(confusions, name, _SENSITIVITY, note)
        figures[f"{key}_ppv"] = _figure(confusions, name, _PPV, note)
        figures[f"{key}_f1"] = _figure(confusions, name, _F1, note)
        if name in ("S", "V"):
            found = [Confusion(each.patient, each.name, _of_beats(each)) for each in confusions]
            figures[f"{key}_f1_of_found_beats"] = _figure(found, name, _F1, note)
    as_ec57 = [
        Confusion(each.patient, each.name, _without(each.table, ("F", "V")), each.missed)
        for each in confusions
    ]
    figures["aami_v_f1_ec57"] = _figure(as_ec57, "V", _F1, note)
    return figures


def class_rows(confusions: Sequence[Confusion]) -> list[dict[str, object]]:
    """One row for each record: how many of each class, found right, and called so wrongly."""
    rows: list[dict[str, object]] = []
    for each in confusions:
        row: dict[str, object] = {"record": each.name}
        for name in CLASSES:
            hits, missed, false = _counts(each, name)
            row |= {f"{name}_beats": hits + missed, f"{name}_right": hits, f"{name}_false": false}
        rows.append(row)
    return rows


def _figure(confusions: Sequence[Confusion], name: str, weights: tuple[int, int, int], note: str) -> Figure:
    """The ratio of right calls to a weighted sum of right calls, misses and false calls; its interval by record."""
    counts = [_counts(each, name) for each in confusions]
    n = sum(hits + missed for hits, missed, _ in counts)
    if not n:
        return Figure(None, None, None, 0, note=f"the data hold no beat of class {name}")
    tops = [float(weights[0] * hits) for hits, _, _ in counts]
    bottoms = [float(sum(w * count for w, count in zip(weights, each, strict=True))) for each in counts]
    if not sum(bottoms):
        return Figure(None, None, None, 0, note=f"nothing was called {name}")
    return Figure.of(sum(tops) / sum(bottoms), ratio_bootstrap(tops, bottoms), n, note=note)


def _counts(confusion: Confusion, name: str) -> tuple[int, int, int]:
    """How many beats of a class were called so, were not, and how many others were."""
    table = confusion.table
    missed = sum(count for (true, said), count in table.items() if true == name != said)
    false = sum(count for (true, said), count in table.items() if said == name != true)
    return table[name, name], missed + confusion.missed[name], false


_SENSITIVITY, _PPV, _F1 = (1, 1, 0), (1, 0, 1), (2, 1, 1)


def _of_beats(confusion: Confusion) -> Counter[tuple[str, str]]:
    return Counter({pair: count for pair, count in confusion.table.items() if pair[0] != NO_BEAT})


def _without(table: Counter[tuple[str, str]], pair: tuple[str, str]) -> Counter[tuple[str, str]]:
    return Counter({each: count for each, count in table.items() if each != pair})
