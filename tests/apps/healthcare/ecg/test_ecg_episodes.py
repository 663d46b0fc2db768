"""Alerts held against annotations: found, late, false, or not to be judged."""

from __future__ import annotations

import numpy as np
import pytest

from apps.healthcare.ecg.annotations import ASYSTOLE, NOISE, VF, VFL, VT, Interval, Labels
from apps.healthcare.ecg.decide import Code, EcgOutput, Limits, condition
from apps.healthcare.ecg.episode_figures import Outcome, episode_figures, episode_rows
from apps.healthcare.ecg.episodes import Alert, alerts_of, episodes_of, verdict
from edgeai_core.decision import Decision

VF_ALERT, VT_ALERT = Code.VENTRICULAR_FIBRILLATION, Code.VENTRICULAR_TACHYCARDIA


def said(*rhythms: tuple[float, float, str], beats: list[float] | None = None) -> Labels:
    found = tuple(Interval(*each) for each in rhythms)
    beat_s = np.array(beats or [], dtype=np.float64)
    return Labels("atr", found, "rhythm labels" if found else "none", beat_s, ("N",) * len(beat_s), ())


def outcome(labels: Labels, *alerts: Alert, patient: str = "p1", hours: float = 1.0) -> Outcome:
    return Outcome(patient, patient, "db", hours * 3600, labels, alerts)


def decisions(*moments: tuple[float, tuple[Code, ...] | None]) -> list[Decision[EcgOutput]]:
    out = []
    for time_s, codes in moments:
        output = EcgOutput("p1", "NORMAL", time_s=time_s)
        conditions = None if codes is None else tuple(condition(code, output, 0.9) for code in codes)
        out.append(Decision(output, conditions))
    return out


def test_an_alert_lasts_as_long_as_its_condition_and_short_breaks_do_not_end_it() -> None:
    on, off = (VF_ALERT,), ()
    found = alerts_of(decisions((1, off), (2, on), (3, off), (6, on), (7, None), (8, off), (20, on)))
    assert found == [Alert(VF_ALERT, 2, 6), Alert(VF_ALERT, 20, 20)]


def test_a_lost_signal_is_not_the_patients_alert() -> None:
    assert alerts_of(decisions((1, (Code.SIGNAL_LOST,)))) == []


def test_the_delay_runs_from_onset_to_the_first_moment_of_an_alert() -> None:
    labels = said((0, 10, "N"), (10, 30, VF))
    (episode,) = episodes_of(labels, [Alert(VF_ALERT, 12.5, 29), Alert(VT_ALERT, 11.5, 12)], (VF, VFL))
    assert (episode.alert_s, episode.delay_s) == (11.5, 1.5)


def test_an_alert_that_stood_at_onset_finds_the_episode_and_has_no_delay() -> None:
    labels = said((0, 10, VT), (10, 30, VF))
    (episode,) = episodes_of(labels, [Alert(VT_ALERT, 3, 29)], (VF, VFL))
    assert (episode.alert_s, episode.delay_s) == (10, None)


def test_alerts_of_other_conditions_and_after_the_end_find_nothing() -> None:
    labels = said((0, 10, "N"), (10, 30, VF), (30, 60, "N"))
    (episode,) = episodes_of(labels, [Alert(Code.ASYSTOLE, 12, 29), Alert(VF_ALERT, 31, 40)], (VF, VFL))
    assert episode.alert_s is None


def test_touching_stretches_of_vf_and_flutter_are_one_episode() -> None:
    labels = said((0, 5, "N"), (5, 12, VFL), (12, 20, VF))
    assert [(e.start_s, e.end_s) for e in episodes_of(labels, [], (VF, VFL))] == [(5, 20)]


@pytest.mark.parametrize(
    ("alert", "labels", "wanted"),
    [
        (Alert(VF_ALERT, 12, 14), said((0, 10, "N"), (10, 30, VT)), "true"),
        (Alert(VF_ALERT, 12, 14), said((0, 60, "N")), "false"),
        (Alert(VF_ALERT, 12, 14), said((0, 10, "N"), (10, 30, NOISE)), "not judged"),
        (Alert(VF_ALERT, 12, 14), said((20, 30, "N")), "not judged"),
        (Alert(VF_ALERT, 12, 14), said(), "not judged"),
        (Alert(Code.ASYSTOLE, 12, 14), said((0, 30, ASYSTOLE)), "true"),
        (Alert(Code.ASYSTOLE, 12, 14), said((0, 30, "N"), beats=[5, 6, 7, 13, 14]), "true"),
        (Alert(Code.ASYSTOLE, 12, 14), said((0, 30, "N"), beats=[*np.arange(0, 30, 1.0)]), "false"),
        (Alert(Code.ASYSTOLE, 12, 14), said((0, 30, "N")), "false"),
        (Alert(Code.EXTREME_BRADYCARDIA, 20, 22), said((0, 30, "N"), beats=[*np.arange(0, 30, 1.7)]), "true"),
        (
            Alert(Code.EXTREME_BRADYCARDIA, 20, 22),
            said((0, 30, "N"), beats=[*np.arange(0, 30, 1.0)]),
            "false",
        ),
        (Alert(Code.EXTREME_BRADYCARDIA, 20, 22), said((0, 30, "N")), "not judged"),
        (Alert(Code.EXTREME_TACHYCARDIA, 20, 22), said((0, 30, "N"), beats=[*np.arange(0, 30, 0.4)]), "true"),
        (
            Alert(Code.EXTREME_TACHYCARDIA, 20, 22),
            said((0, 30, "N"), beats=[*np.arange(0, 30, 0.8)]),
            "false",
        ),
    ],
)
def test_an_alert_is_false_only_where_the_annotations_contradict_it(
    alert: Alert, labels: Labels, wanted: str
) -> None:
    assert verdict(alert, labels, Limits()) == wanted


def test_figures_count_what_was_found_and_what_was_false() -> None:
    ill = outcome(
        said((0, 100, "N"), (100, 120, VF), (120, 3600, "N")),
        Alert(VF_ALERT, 102, 119),
        Alert(VF_ALERT, 900, 901),
    )
    missed = outcome(said((0, 50, "N"), (50, 70, VFL)), patient="p2")
    well = outcome(said((0, 3600, "N"), beats=[1.0, 2.0]), patient="p3", hours=2.0)
    figures = episode_figures([ill, missed, well])
    assert (figures["vf_episode_sensitivity"].value, figures["vf_episode_sensitivity"].n) == (0.5, 2)
    assert (figures["onset_to_alert_median_s"].value, figures["onset_to_alert_median_s"].n) == (2.0, 1)
    assert figures["false_critical_per_hour"].value == pytest.approx(1 / 4)
    assert figures["false_vfvt_alerts_per_hour_of_records_without"].value == 0
    rows = episode_rows([ill, missed, well])
    assert [row["onset_to_alert_s"] for row in rows if "episode" in row] == [2.0, None]
    assert [(row["record"], row["start_s"], row["verdict"]) for row in rows if "alert" in row] == [
        ("p1", 900, "false")
    ]


def test_figures_that_the_data_cannot_give_say_why() -> None:
    figures = episode_figures([outcome(said())])
    for name in (
        "vf_episode_sensitivity",
        "onset_to_alert_median_s",
        "false_vfvt_alerts_per_hour_of_records_without",
    ):
        assert figures[name].value is None
        assert figures[name].note
