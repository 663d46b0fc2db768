"""Windows, leads and moments -> one belief."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.healthcare.ecg.annotations import VF, VT
from apps.healthcare.ecg.beats import MAX_LATENCY_S, SHAPE_SAMPLES, Beats
from apps.healthcare.ecg.fuse import Evidence, Fusion, joined
from apps.healthcare.ecg.rhythm import CLASSES, RhythmBelief, WindowBelief

shares = st.lists(st.floats(0.001, 1.0), min_size=5, max_size=5).map(
    lambda values: {name: value / sum(values) for name, value in zip(CLASSES, values, strict=True)}
)


def window(vf: float = 0.0, vt: float = 0.0, *, cannot_tell: bool = False) -> WindowBelief:
    rest = (1.0 - vf - vt) / 3
    return WindowBelief({name: {VF: vf, VT: vt}.get(name, rest) for name in CLASSES}, cannot_tell=cannot_tell)


def rhythm(long: WindowBelief, short: WindowBelief | None = None) -> RhythmBelief:
    return RhythmBelief(long, short or long, np.zeros((2, 2), dtype=np.float32), 0.5, 0.5)


def beats(*times_s: float) -> Beats:
    count = len(times_s)
    return Beats(
        np.array(times_s), np.ones(count), np.full(count, 90.0), np.full(count, 0.9),
        np.zeros((count, SHAPE_SAMPLES), np.float32),
    )  # fmt: skip


def evidence(time_s: float, *times_s: float, on: bool = True, seen: RhythmBelief | None = None) -> Evidence:
    return Evidence(time_s, (on, on), 0.9 if on else 0.0, 1.0 if on else None, 0.1, beats(*times_s), seen)


def test_nothing_is_believed_of_the_rhythm_before_two_windows() -> None:
    fusion = Fusion()
    sure = rhythm(window(vf=0.9))
    assert fusion.update(evidence(4.0, seen=sure)).ventricular is None
    belief = fusion.update(evidence(4.5, seen=sure))
    assert belief.ventricular == pytest.approx(0.9)
    assert belief.fibrillation == pytest.approx(1.0, abs=1e-4)


def test_a_belief_stays_between_the_strides_of_the_network() -> None:
    fusion = Fusion()
    for time_s in (4.0, 4.5):
        fusion.update(evidence(time_s, seen=rhythm(window(vt=0.8))))
    belief = fusion.update(evidence(4.6))
    assert (belief.ventricular, belief.fibrillation) == (
        pytest.approx(0.8, abs=1e-4),
        pytest.approx(0.0, abs=1e-4),
    )


def test_one_odd_window_of_three_changes_nothing() -> None:
    for odd, usual in ((0.99, 0.01), (0.01, 0.99)):
        fusion = Fusion()
        for position in range(3):
            fusion = Fusion()
            for at in range(3):
                belief = fusion.update(
                    evidence(4 + at / 2, seen=rhythm(window(vf=odd if at == position else usual)))
                )
            assert belief.ventricular == pytest.approx(usual, abs=1e-4)


def test_k_of_n_windows_decide_whatever_the_limit() -> None:
    values = (0.2, 0.9, 0.4, 0.7)
    for k in range(1, 5):
        fusion = Fusion(k=k, n=4)
        for at, value in enumerate(values):
            belief = fusion.update(evidence(4 + at / 2, seen=rhythm(window(vf=value))))
        assert belief.ventricular is not None
        for limit in (0.1, 0.3, 0.5, 0.8, 0.95):
            assert (belief.ventricular > limit) == (sum(value > limit for value in values) >= k)


def test_the_signal_is_unreadable_when_two_windows_cannot_tell() -> None:
    fusion = Fusion()
    lost, seen = rhythm(window(cannot_tell=True)), rhythm(window())
    order = enumerate([seen, lost, seen, lost, lost])
    readable = [fusion.update(evidence(4 + at / 2, seen=each)).readable for at, each in order]
    assert readable == [False, True, True, False, False]


def test_a_pause_counts_only_what_is_certain() -> None:
    fusion = Fusion()
    fusion.update(evidence(1.0, 0.5))
    assert fusion.update(evidence(5.0)).pause_s == pytest.approx(4.5 - MAX_LATENCY_S)
    assert fusion.update(evidence(5.1, 4.8)).pause_s == 0.0


def test_a_pause_without_any_beat_counts_from_the_first_sight() -> None:
    fusion = Fusion()
    fusion.update(evidence(0.1))
    assert fusion.update(evidence(6.1)).pause_s == pytest.approx(6.0 - MAX_LATENCY_S)


def test_the_rate_and_the_intervals_are_those_of_the_beats() -> None:
    fusion = Fusion()
    belief = fusion.update(evidence(5.0, 1.0, 2.0, 3.0, 4.0))
    assert belief.rr_s == pytest.approx((1.0, 1.0, 1.0))
    assert belief.heart_rate_bpm == pytest.approx(60.0)
    assert (belief.last_beat_s, belief.busy) == (pytest.approx(4.0), 0.1)
    assert belief.beat_score == pytest.approx(0.9)
    assert fusion.update(evidence(12.0)).heart_rate_bpm is None


def test_beats_and_windows_before_a_lost_lead_say_nothing_after_it() -> None:
    fusion = Fusion()
    fusion.update(evidence(4.0, 1.0, 2.0, 3.0, seen=rhythm(window(vf=0.9))))
    fusion.update(evidence(4.5, seen=rhythm(window(vf=0.9))))
    lost = fusion.update(evidence(5.0, on=False))
    assert (lost.ventricular, lost.rr_s, lost.beat_score, lost.heart_rate_bpm) == (None, (), None, None)
    back = fusion.update(evidence(9.0, 8.9))
    assert (back.ventricular, back.rr_s) == (None, ())
    assert back.pause_s == 0.0


@given(shares, shares)
def test_joined_windows_are_a_probability_between_their_parts(
    first: dict[str, float], second: dict[str, float]
) -> None:
    both = joined(first, second)
    assert sum(both.values()) == pytest.approx(1.0)
    for one, other in pairwise(CLASSES):
        ratio = both[one] / both[other]
        parts = sorted((first[one] / first[other], second[one] / second[other]))
        assert parts[0] * (1 - 1e-6) <= ratio <= parts[1] * (1 + 1e-6)


@given(shares)
def test_a_window_joined_with_itself_is_itself(shares: dict[str, float]) -> None:
    both = joined(shares, shares)
    assert all(both[name] == pytest.approx(shares[name]) for name in CLASSES)


def test_k_of_n_must_make_sense() -> None:
    with pytest.raises(ValueError, match="k is 4"):
        Fusion(k=4, n=3)
