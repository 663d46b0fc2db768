"""Beats described and classed: the same for every chunking, never late, and right on simulated hearts."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from apps.healthcare.ecg.analysis import EcgAnalyzer, Settings
from apps.healthcare.ecg.annotations import labels_from
from apps.healthcare.ecg.beat_augment import with_early_beats
from apps.healthcare.ecg.beat_class import AAMI_OF, CLASSES, UNKNOWN, BeatClassifier, Labelled
from apps.healthcare.ecg.beat_class_figures import Confusion, class_figures, class_rows
from apps.healthcare.ecg.beat_features import MAX_DELAY_S, BeatDescriber, Described
from apps.healthcare.ecg.beat_records import DS1, DS2, NO_BEAT, describe_signal, matched
from apps.healthcare.ecg.beats import MultiLeadDetector
from apps.healthcare.ecg.loop import BEAT_MODEL
from apps.healthcare.ecg.preprocess import WORKING_RATE_HZ, Clean, Preprocessor
from apps.healthcare.simulation.ecg import SimulatedEcg, simulate
from apps.healthcare.simulation.scenarios import Scenario, Segment
from edgeai_core.errors import ModelError
from edgeai_core.runners.card import ModelCard
from edgeai_core.runners.onnx import OnnxRunner


def heart(rhythm: str, seconds: float = 40, leads: tuple[str, ...] = ("II", "V1")) -> SimulatedEcg:
    return simulate(Scenario((Segment(rhythm, seconds, 74),)), lead_names=leads, seed=3)  # type: ignore[arg-type]


def described(made: SimulatedEcg, hop: int) -> tuple[Described, list[float]]:
    """The beats of a signal pushed in chunks, and how late each was described."""
    rate_hz, leads = made.rate_hz, made.samples_mv.shape[1]
    preprocessor, detector = Preprocessor(rate_hz, leads), MultiLeadDetector(rate_hz, leads)
    describer = BeatDescriber(leads)
    parts, late_s = [], []
    for first in range(0, len(made.samples_mv), hop):
        block = made.samples_mv[first : first + hop]
        now_s = (first + len(block)) / rate_hz
        clean = preprocessor.push(block)
        part = describer.push(detector.push(block, clean.quality), clean, now_s)
        parts += [part] if len(part) else []
        late_s += (now_s - part.times_s).tolist()
    columns = [
        np.concatenate(each)
        for each in zip(*((p.times_s, p.rhythm, p.shape, p.waves) for p in parts), strict=True)
    ]
    return Described(*columns), late_s


def test_beats_are_described_alike_whatever_the_size_of_the_chunks() -> None:
    made = heart("PVC", 25)
    by_tenth, _ = described(made, 25)
    by_second, _ = described(made, 250)
    shared = min(len(by_tenth), len(by_second))
    assert shared > 25
    for name in ("times_s", "rhythm", "shape", "waves"):
        np.testing.assert_allclose(
            getattr(by_tenth, name)[:shared], getattr(by_second, name)[:shared], atol=1e-6
        )


def test_a_beat_is_described_at_most_so_late_even_where_no_other_follows() -> None:
    made = simulate(Scenario((Segment("N", 10, 72), Segment("ASYS", 8))), seed=3)
    beats, late_s = described(made, 25)
    assert len(beats) > 8
    assert max(late_s) <= MAX_DELAY_S + 0.1 + 1e-9


def test_the_memory_of_a_describer_is_bounded() -> None:
    describer = BeatDescriber(1)
    block = np.zeros((125, 1))
    from apps.healthcare.ecg.beats import Beats

    for number in range(240):
        off = np.array([number % 3 == 0])
        clean = Clean(block, block, 125 * number, np.ones(1), off)
        describer.push(Beats.at(np.array([number / 2 + 0.1])), clean, (number + 1) / 2)
    assert len(describer._signal) < 10 * WORKING_RATE_HZ


@pytest.mark.parametrize("leads", [("II",), ("II", "V1"), ("I", "II", "V5")])
def test_simulated_beats_get_their_class_from_any_leads(leads: tuple[str, ...]) -> None:
    made = heart("PVC", 60, leads)
    beats = describe_signal(made.samples_mv, made.rate_hz)
    said = BeatClassifier(OnnxRunner(BEAT_MODEL)).classify(beats)
    true = {round(beat.time_s, 1): beat.kind for beat in made.truth.beats}
    right = Counter()
    for time_s, kind, _ in said:
        if time_s > 8:
            near = min(true, key=lambda at: abs(at - time_s))
            right[true[near], kind] += 1
    wide = sum(count for (was, _), count in right.items() if was == "V")
    assert right["V", "V"] / wide > 0.8
    assert right["N", "N"] / sum(count for (was, _), count in right.items() if was == "N") > 0.95


def test_a_network_of_other_classes_is_refused() -> None:
    runner = OnnxRunner(BEAT_MODEL)

    class Other:
        card = ModelCard(**{**vars(runner.card), "classes": ("N", "V")})

        def run(self, inputs: object) -> dict[str, np.ndarray]:
            raise AssertionError

    with pytest.raises(ModelError, match="its classes are"):
        BeatClassifier(Other())  # type: ignore[arg-type]


def test_without_beats_there_is_nothing_to_class() -> None:
    assert len(BeatClassifier(OnnxRunner(BEAT_MODEL)).classify(Described.none(2))) == 0
    assert len(Labelled.joined([])) == 0


def test_the_page_is_told_the_class_of_every_beat() -> None:
    class Calm:
        def classify(self, window_mv: object, usable: object) -> object:
            raise AssertionError

    from apps.healthcare.ecg.loop import MODEL
    from apps.healthcare.ecg.rhythm import RhythmClassifier
    from apps.healthcare.ecg.sources import EcgChunk

    made = heart("RUN", 30)
    analyzer = EcgAnalyzer(
        RhythmClassifier(OnnxRunner(MODEL)),
        Settings(),
        beat_classifier=BeatClassifier(OnnxRunner(BEAT_MODEL)),
    )
    beats, labels = [], []
    for first in range(0, len(made.samples_mv), 25):
        analyzer.push(EcgChunk(made.samples_mv[first : first + 25], 250.0, ("II", "V1"), first))
        strip = analyzer.take_strip()
        assert strip is not None
        beats += strip.beats_s
        labels += strip.labelled
    assert [time_s for time_s, _ in labels] == beats[: len(labels)]
    assert len(beats) - len(labels) <= 3
    assert {"N", "V"} <= {kind for _, kind in labels}


# What people say


def test_the_two_halves_are_of_44_records_without_the_paced_ones() -> None:
    assert len(DS1) == len(DS2) == 22
    assert not set(DS1) & set(DS2)
    assert not {102, 104, 107, 217} & {*DS1, *DS2}
    assert [AAMI_OF[symbol] for symbol in "NLRejAaJSVEF/fQ"] == list("NNNNNSSSSVVFQQQ")


def test_beats_get_the_class_of_the_reference_beat_they_match() -> None:
    labels = labels_from(
        "atr",
        np.array([1.0, 2.0, 3.0, 4.0, 5.0, 7.0]),
        ["N", "A", "V", "[", "]", "F"],
        [""] * 6,
        10.0,
    )
    classes, missed = matched(np.array([1.05, 2.5, 2.9, 4.5, 7.1]), labels)
    assert classes == ("N", NO_BEAT, "V", UNKNOWN, "F")
    assert missed == Counter({"S": 1})


def test_figures_count_beats_that_were_not_found_and_found_ones_that_are_none() -> None:
    of_one = Confusion.of(
        "a", "a", ("V", "V", "N", NO_BEAT, "F", "Q"), ("V", "N", "V", "V", "V", "V"), {"V": 2}
    )
    of_other = Confusion.of("b", "b", ("V", "S"), ("V", "S"), {})
    figures = class_figures([of_one, of_other])
    assert figures["aami_v_sensitivity"].value == pytest.approx(2 / 5)
    assert figures["aami_v_ppv"].value == pytest.approx(2 / 5)
    assert figures["aami_v_f1"].value == pytest.approx(2 * 2 / (2 * 2 + 3 + 3))
    assert figures["aami_v_f1"].n == 5
    assert figures["aami_v_f1_of_found_beats"].value == pytest.approx(4 / (4 + 1 + 2))
    assert figures["aami_v_f1_ec57"].value == pytest.approx(4 / (4 + 3 + 2))
    assert figures["aami_s_f1"].value == 1.0
    assert figures["aami_f_f1"].value == 0.0
    row = class_rows([of_one])[0]
    assert (row["V_beats"], row["V_right"], row["V_false"]) == (4, 1, 3)


def test_without_a_beat_of_a_class_there_is_no_figure_but_a_reason() -> None:
    figure = class_figures([Confusion.of("a", "a", ("N",), ("N",), {})])["aami_s_f1"]
    assert figure.value is None
    assert "no beat of class S" in figure.note


# Early beats made of normal ones


def test_made_early_beats_come_early_and_keep_the_rest_of_the_signal() -> None:
    made = heart("N", 600)
    times_s = np.array([beat.time_s for beat in made.truth.beats])
    classes = np.array(["N"] * len(times_s))
    signal = made.samples_mv.astype(np.float64)
    warped, moved_s, called = with_early_beats(
        signal, times_s, classes, np.ones(len(times_s), bool), np.random.default_rng(2)
    )
    early = np.flatnonzero(called == "S")
    assert len(early) > 5
    before = np.diff(times_s)[early - 1]
    after = np.diff(moved_s)[early - 1]
    assert (after < 0.92 * before).all()
    assert set(called) <= {"N", "S"}
    for beat, moved in zip(times_s[5:-5:9], moved_s[5:-5:9], strict=True):
        was = signal[round(beat * 250) - 10 : round(beat * 250) + 10, 0]
        now = warped[round(moved * 250) - 12 : round(moved * 250) + 12, 0]
        assert now.max() == pytest.approx(was.max(), abs=0.08)


def test_nothing_is_made_early_outside_of_sinus_rhythm() -> None:
    made = heart("N", 120)
    times_s = np.array([beat.time_s for beat in made.truth.beats])
    _, moved_s, called = with_early_beats(
        made.samples_mv.astype(np.float64),
        times_s,
        np.array(["N"] * len(times_s)),
        np.zeros(len(times_s), bool),
        np.random.default_rng(0),
    )
    assert set(called) == {"N"}
    np.testing.assert_allclose(moved_s, times_s)


def test_every_class_is_one_of_aami_and_unknown_is_not_among_what_the_network_says() -> None:
    assert set(AAMI_OF.values()) == {*CLASSES, UNKNOWN}
