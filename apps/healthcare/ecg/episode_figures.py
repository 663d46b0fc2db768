"""Figures of episodes and alerts: what was found, how late, and what was false."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apps.healthcare.ecg.annotations import VF, VFL, VT, Labels
from apps.healthcare.ecg.decide import VENTRICULAR, Limits
from apps.healthcare.ecg.episodes import LONG_EPISODE_S, Alert, Episode, episodes_of, verdict
from edgeai_core.metrics.evaluation import Figure
from edgeai_core.metrics.intervals import grouped_bootstrap, ratio_bootstrap


@dataclass(frozen=True)
class Outcome:
    """One record's alerts, with what its labels say."""

    patient: str
    name: str
    folder: str
    duration_s: float
    labels: Labels
    alerts: tuple[Alert, ...]

    @property
    def has_ventricular_labels(self) -> bool:
        """Whether any of it is labelled VF, flutter or VT."""
        return any(interval.rhythm in (VF, VFL, VT) for interval in self.labels.rhythms)


def episode_figures(outcomes: Sequence[Outcome]) -> dict[str, Figure]:
    """The figures of episodes and alerts; intervals by patient."""
    vf = [(o.patient, e) for o in outcomes for e in long_episodes(o, (VF, VFL))]
    vt = [(o.patient, e) for o in outcomes for e in long_episodes(o, (VT,))]
    verdicts = [(o, alert, verdict(alert, o.labels, Limits())) for o in outcomes for alert in o.alerts]
    false = [(o, alert) for o, alert, said in verdicts if said == "false"]
    quiet = [o for o in outcomes if o.labels.rhythms_from != "none" and not o.has_ventricular_labels]
    quiet_false = [(o, a) for o, a in false if a.code in VENTRICULAR and not o.has_ventricular_labels]
    unjudged = sum(said == "not judged" for _, _, said in verdicts)
    return {
        "vf_episode_sensitivity": _found(vf, "VF or flutter"),
        "vt_episode_sensitivity": _found(vt, "VT"),
        "onset_to_alert_median_s": _delay(vf, 50),
        "onset_to_alert_p95_s": _delay(vf, 95),
        "vt_onset_to_alert_median_s": _delay(vt, 50),
        "false_critical_per_hour": _per_hour(outcomes, false),
        "false_vfvt_alerts_per_hour": _per_hour(
            outcomes, [(o, a) for o, a in false if a.code in VENTRICULAR]
        ),
        "false_vfvt_alerts_per_hour_of_records_without": _per_hour(quiet, quiet_false),
        "alerts_not_judged": Figure.of(float(unjudged), None, len(verdicts), "alerts"),
    }


def episode_rows(outcomes: Sequence[Outcome]) -> list[dict[str, object]]:
    """One row for each long episode, and for each alert that is false or could not be judged."""
    rows: list[dict[str, object]] = []
    for outcome in outcomes:
        rows += [
            {
                "record": outcome.name,
                "episode": episode.rhythm,
                "start_s": round(episode.start_s, 2),
                "end_s": round(episode.end_s, 2),
                "found": episode.alert_s is not None,
                "onset_to_alert_s": None if episode.delay_s is None else round(episode.delay_s, 2),
            }
            for episode in (*long_episodes(outcome, (VF, VFL)), *long_episodes(outcome, (VT,)))
        ]
        for alert in outcome.alerts:
            said = verdict(alert, outcome.labels, Limits())
            if said != "true":
                rows.append(
                    {
                        "record": outcome.name,
                        "alert": str(alert.code),
                        "start_s": round(alert.start_s, 2),
                        "end_s": round(alert.end_s, 2),
                        "verdict": said,
                    }
                )
    return rows


def long_episodes(outcome: Outcome, rhythms: Sequence[str]) -> list[Episode]:
    """The labelled episodes of some rhythms that last longer than 10 s."""
    found = episodes_of(outcome.labels, outcome.alerts, rhythms)
    return [episode for episode in found if episode.duration_s > LONG_EPISODE_S]


def _found(episodes: Sequence[tuple[str, Episode]], what: str) -> Figure:
    if not episodes:
        return Figure(
            None, None, None, 0, note=f"no labelled episode of {what} is longer than {LONG_EPISODE_S:g} s"
        )
    patients = list(dict.fromkeys(patient for patient, _ in episodes))
    found = [sum(e.alert_s is not None for p, e in episodes if p == patient) for patient in patients]
    total = [sum(p == patient for p, _ in episodes) for patient in patients]
    return Figure.of(sum(found) / sum(total), ratio_bootstrap(found, total), len(episodes))


def _delay(episodes: Sequence[tuple[str, Episode]], percentile: float) -> Figure:
    """A percentile of the delays of episodes that were found and that no standing alert was there before."""
    groups: dict[str, list[float]] = {}
    for patient, episode in episodes:
        if episode.delay_s is not None:
            groups.setdefault(patient, []).append(episode.delay_s)
    delays = [delay for group in groups.values() for delay in group]
    if not delays:
        return Figure(None, None, None, 0, "s", "no such episode was found")
    interval = grouped_bootstrap(
        list(groups.values()),
        lambda drawn: float(np.percentile([delay for group in drawn for delay in group], percentile)),
        1000,
    )
    return Figure.of(float(np.percentile(delays, percentile)), interval, len(delays), "s")


def _per_hour(outcomes: Sequence[Outcome], alerts: Sequence[tuple[Outcome, Alert]]) -> Figure:
    """Alerts per hour of record; ``n`` is the number of alerts."""
    patients = list(dict.fromkeys(outcome.patient for outcome in outcomes))
    hours = [sum(o.duration_s for o in outcomes if o.patient == patient) / 3600 for patient in patients]
    counts = [sum(o.patient == patient for o, _ in alerts) for patient in patients]
    if not sum(hours):
        return Figure(None, None, None, 0, "1/h", "no such record")
    note = f"{len(alerts)} in {sum(hours):.1f} h"
    return Figure.of(sum(counts) / sum(hours), ratio_bootstrap(counts, hours), len(alerts), "1/h", note)
