"""How much is forgotten: a stream of tasks learnt with rehearsal and without, judged on every task after each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgeai_core.app import Progress
from edgeai_core.learning.adapter import Adapter
from edgeai_core.learning.continual import LearnOptions, Samples, learn, remember
from edgeai_core.learning.rehearsal import RehearsalMemory
from edgeai_core.metrics.evaluation import Figure

WAYS = ("naive", "continual")
"""Fine-tuning on what is new alone, and with rehearsal; from the same start, with the same updates of new samples."""

_RESAMPLES = 4000


@dataclass(frozen=True)
class Trial:
    """One run of a stream.

    ``start`` knows the old task, of which ``memory`` holds samples; ``stages`` are learnt in turn. ``tests`` judge:
    the first is the old task's, then one for every stage, none of whose groups was learnt from.
    """

    start: Adapter
    memory: RehearsalMemory
    stages: tuple[Samples, ...]
    tests: tuple[Samples, ...]


@dataclass
class Tally:
    """Right and all, by class, of every group: what balanced accuracy and its interval are made of."""

    groups: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def add(
        self,
        groups: NDArray[np.str_],
        called: NDArray[np.integer],
        truth: NDArray[np.integer],
        classes: int,
    ) -> None:
        """Count what was called of some samples."""
        for name in np.unique(groups).tolist():
            own = groups == name
            table = self.groups.setdefault(str(name), np.zeros((2, classes)))
            table[0] += np.bincount(truth[own & (called == truth)], minlength=classes)
            table[1] += np.bincount(truth[own], minlength=classes)


@dataclass(frozen=True)
class Comparison:
    """All trials of a stream: ``tallies`` by (way, stages learnt, test); before the first stage both ways agree."""

    names: tuple[str, ...]
    tallies: dict[tuple[str, int, int], Tally]

    @classmethod
    def merged(cls, several: Sequence[Comparison]) -> Comparison:
        """Return several comparisons of the same tasks as one: what was counted is added up."""
        tallies: dict[tuple[str, int, int], Tally] = {}
        for each in several:
            for key, tally in each.tallies.items():
                joined = tallies.setdefault(key, Tally())
                for group, table in tally.groups.items():
                    joined.groups[group] = joined.groups.get(group, np.zeros_like(table)) + table
        return cls(several[0].names, tallies)

    def accuracy(self, way: str, stage: int, test: int) -> Figure:
        """Return the balanced accuracy on one test after so many stages, its interval by group."""
        return _figure([self.tallies[way, stage, test]], lambda values: values[0])

    def fall(self, way: str, test: int = 0) -> Figure:
        """Return how far accuracy on a test fell from when its task had just been learnt to the end of the stream."""
        last = len(self.names) - 1
        pair = [self.tallies[way, test, test], self.tallies[way, last, test]]
        return _figure(pair, lambda values: values[0] - values[1])

    def gap(self, test: int) -> Figure:
        """Return how far rehearsal stays behind naive learning on a task just learnt."""
        pair = [self.tallies[way, test, test] for way in WAYS]
        return _figure(pair, lambda values: values[0] - values[1])

    def backward_transfer(self, way: str) -> Figure:
        """Return the mean over the earlier tasks of accuracy at the end less accuracy when just learnt.

        D. Lopez-Paz and M. Ranzato, Gradient Episodic Memory, NeurIPS 2017. Below 0 something was forgotten.
        """
        last = len(self.names) - 1
        falls = [self.fall(way, test) for test in range(last)]
        transfer = 0.0 - float(np.mean([each.value for each in falls]))
        return Figure.of(transfer, None, sum(each.n for each in falls))

    def figures(self) -> dict[str, Figure]:
        """Return the figures by name, as fractions; falls and gaps are differences of balanced accuracy."""
        last = len(self.names) - 1
        found = {"old_before": self.accuracy("naive", 0, 0)}
        for way in WAYS:
            found[f"old_after_{way}"] = self.accuracy(way, last, 0)
            found[f"old_fall_{way}"] = self.fall(way)
        for test in range(1, last + 1):
            name = "new" if last == 1 else f"new_{self.names[test].replace(' ', '_')}"
            found[f"{name}_before"] = self.accuracy("naive", 0, test)
            for way in WAYS:
                found[f"{name}_{way}"] = self.accuracy(way, test, test)
            found[f"{name}_gap"] = self.gap(test)
        for way in WAYS:
            found[f"backward_transfer_{way}"] = self.backward_transfer(way)
        return found

    def rows(self) -> tuple[dict[str, object], ...]:
        """Return the accuracy matrix: a row for each way and stage, a column for each task."""
        return tuple(
            {
                "learnt": "start" if stage == 0 else f"then {self.names[stage]}, {way}",
                **{name: self.accuracy(way, stage, test).value for test, name in enumerate(self.names)},
            }
            for way in WAYS
            for stage in range(len(self.names))
            if stage or way == WAYS[0]
        )


def compare(
    names: Sequence[str],
    trials: Iterable[Trial],
    options: LearnOptions,
    progress: Progress,
    *,
    total: int,
    call: Callable[[NDArray[np.float32]], NDArray[np.integer]] | None = None,
    truth: Callable[[NDArray[np.int64]], NDArray[np.int64]] | None = None,
) -> Comparison:
    """Run every trial both ways. ``names``: of the old task and of each stage.

    ``call`` makes decisions of logits (n, k), the largest without it; ``truth`` makes of labels what those are held
    against. A decision is a number of a class.
    """
    called = call or _largest
    tallies: dict[tuple[str, int, int], Tally] = {}
    for number, trial in enumerate(trials):
        progress("learning", number, total)
        for way in WAYS:
            adapter, memory = (
                trial.start,
                RehearsalMemory.of(trial.memory.arrays(), trial.memory.capacity, number),
            )
            for stage in range(len(trial.stages) + 1):
                if stage:
                    new = trial.stages[stage - 1]
                    adapter = learn(adapter, new, options, memory if way == "continual" else None)
                    remember(memory, new, max(memory.counts(), default=-1) + 1)
                for test, samples in enumerate(trial.tests):
                    if len(samples):
                        known = samples.labels if truth is None else truth(samples.labels)
                        tallies.setdefault((way, stage, test), Tally()).add(
                            samples.groups, called(adapter.logits(samples.features)), known, adapter.classes
                        )
    progress("learning", total, total)
    return Comparison(tuple(names), tallies)


def _largest(logits: NDArray[np.float32]) -> NDArray[np.integer]:
    return np.asarray(logits.argmax(axis=1), np.int64)


def _figure(tallies: Sequence[Tally], join: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Figure:
    """Return a figure of balanced accuracies on the same groups; those are drawn anew, whole, for its interval."""
    names = sorted(tallies[0].groups)
    tables = np.stack([np.stack([tally.groups[name] for name in names]) for tally in tallies])
    value = join(_balanced(tables.sum(axis=1)))
    n = int(tables[0, :, 1].sum())
    if len(names) < 2:
        return Figure.of(float(value), None, n, note="one group: no interval")
    random = np.random.default_rng(0)
    counts = random.multinomial(len(names), np.full(len(names), 1 / len(names)), _RESAMPLES)
    drawn = join(_balanced(np.einsum("rg,tgsc->trsc", counts, tables)))
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return Figure.of(float(value), (float(low), float(high)), n, note=f"n decisions on {len(names)} groups")


def _balanced(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tables (..., 2, classes) of right and all -> (...,): the mean over the classes that occur."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nanmean(tables[..., 0, :] / tables[..., 1, :], axis=-1))
