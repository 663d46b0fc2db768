"""The ECG loop as it ships, on simulated patients whose truth is known."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from apps.healthcare.config import EcgConfig, SimulationConfig
from apps.healthcare.ecg.csvfile import write_csv
from apps.healthcare.ecg.decide import Code, EcgOutput
from apps.healthcare.ecg.loop import MAX_AGE_S, ecg_loop
from apps.healthcare.simulation.ecg import SimulatedEcg, simulate
from apps.healthcare.simulation.scenarios import SCENARIOS
from edgeai_core.alerts.lifecycle import observe
from edgeai_core.loop.cycle import Cycle, Fault, FaultKind
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.sample import View
from edgeai_core.sensors.replay import replay

SEED = 5


def played(config: EcgConfig, until_s: float | None = None) -> list[Cycle[EcgOutput]]:
    return list(replay(ecg_loop(config), until_s=until_s))


def simulated(scenario: str, **more: object) -> EcgConfig:
    return EcgConfig(simulation=SimulationConfig(scenario=scenario, seed=SEED), **more)  # type: ignore[arg-type]


def truth_of(scenario: str) -> SimulatedEcg:
    return simulate(SCENARIOS[scenario], seed=SEED)


def alerts(cycles: list[Cycle[EcgOutput]], config: EcgConfig) -> list[tuple[str, str, float]]:
    """What the rules make of the conditions: (began or ended, code, seconds)."""
    rules = ecg_loop(config).rules
    watches: dict[object, object] = {}
    out = []
    for cycle in cycles:
        seen = observe(watches, cycle.conditions_of.conditions, rules, cycle.snapshot.now_ns)  # type: ignore[arg-type]
        watches = dict(seen.watches)
        at_s = cycle.snapshot.now_ns / 1e9
        out += [("began", each.code, at_s) for each in seen.began]
        out += [("ended", each.code, at_s) for each in seen.ended]
    return out


@pytest.fixture(scope="module")
def vt_into_vf() -> list[Cycle[EcgOutput]]:
    return played(simulated("vt_into_vf"), until_s=34.0)


def test_vt_into_vf_is_one_alert_each_in_time_cleared_when_over(vt_into_vf: list[Cycle[EcgOutput]]) -> None:
    _, vt, vf, after = truth_of("vt_into_vf").truth.rhythms
    came = alerts(vt_into_vf, simulated("vt_into_vf"))
    began = {code: at_s for what, code, at_s in came if what == "began"}
    assert [code for what, code, _ in came if what == "began"] == [
        Code.VENTRICULAR_TACHYCARDIA, Code.VENTRICULAR_FIBRILLATION,
    ]  # fmt: skip
    assert vt.start_s < began[Code.VENTRICULAR_TACHYCARDIA] < vt.start_s + 5.0
    assert vf.start_s < began[Code.VENTRICULAR_FIBRILLATION] < vf.start_s + 5.0
    ended = {code: at_s for what, code, at_s in came if what == "ended"}
    assert after.start_s < ended[Code.VENTRICULAR_FIBRILLATION] < after.start_s + 11.0


def test_a_critical_decision_says_what_where_how_sure_and_what_to_do(
    vt_into_vf: list[Cycle[EcgOutput]],
) -> None:
    output = next(
        each.decision.output
        for each in vt_into_vf
        if each.decision.output.condition == Code.VENTRICULAR_FIBRILLATION
    )
    assert (output.status, output.action) == ("CRITICAL", "IMMEDIATE_MEDICAL_ATTENTION")
    assert output.confidence is not None
    assert 0.5 < output.confidence <= 1.0
    assert output.simulated


def test_a_stable_patient_raises_nothing() -> None:
    cycles = played(simulated("stable"), until_s=30.0)
    assert alerts(cycles, simulated("stable")) == []
    assert {each.decision.output.status for each in cycles[60:]} == {"NORMAL"}


def test_asystole_is_told_four_seconds_after_the_last_beat() -> None:
    made = truth_of("asystole")
    last_beat_s = max(beat.time_s for beat in made.truth.beats if beat.time_s < 7.0)
    came = alerts(played(simulated("asystole"), until_s=20.0), simulated("asystole"))
    assert [code for what, code, _ in came if what == "began"] == [Code.ASYSTOLE]
    assert last_beat_s + 4.0 < came[0][2] < last_beat_s + 4.9


def test_a_lead_that_comes_off_is_a_lost_signal_and_nothing_else() -> None:
    came = alerts(played(simulated("lead_off"), until_s=20.0), simulated("lead_off"))
    assert [(what, code) for what, code, _ in came] == [
        ("began", Code.SIGNAL_LOST), ("ended", Code.SIGNAL_LOST),
    ]  # fmt: skip
    assert 6.0 < came[0][2] < 9.0


def test_a_recording_replayed_twice_gives_the_same_decisions(tmp_path: Path) -> None:
    made = truth_of("asystole")
    write_csv(tmp_path / "a.csv", made.samples_mv, made.rate_hz, made.lead_names)
    config = EcgConfig(recording=tmp_path / "a.csv")
    first, again = ([(each.snapshot.now_ns, each.decision) for each in played(config)] for _ in range(2))
    assert first == again
    assert len(first) == pytest.approx(200, abs=3)


def test_a_lost_source_is_a_lost_signal_and_what_stood_stands() -> None:
    parts = ecg_loop(simulated("vt_into_vf")).build()
    snapshot = Snapshot(0, 0, 0, 0, {})
    stale = Fault(FaultKind.STALE, "input 'ecg' is old", input="ecg")
    assert parts.fallback(snapshot, stale).conditions is None, "nothing has been judged yet"
    for cycle in replay(replace(ecg_loop(simulated("vt_into_vf")), build=lambda: parts), until_s=20.0):
        last = cycle.decision
    assert [each.code for each in last.conditions or ()] == [Code.VENTRICULAR_FIBRILLATION]
    decision = parts.fallback(snapshot, stale)
    assert [each.code for each in decision.conditions or ()] == [
        Code.VENTRICULAR_FIBRILLATION, Code.SIGNAL_LOST,
    ]  # fmt: skip
    assert (decision.output.status, decision.output.confidence) == ("CANNOT_TELL", None)
    for kind in (FaultKind.EXCEPTION, FaultKind.OVERRUN):
        assert parts.fallback(snapshot, Fault(kind, "")).conditions is None


def test_a_recording_that_stops_for_long_is_a_lost_signal(tmp_path: Path) -> None:
    made = simulate(SCENARIOS["stable"], seed=1)
    samples = made.samples_mv[:3000].copy()
    samples[2000:] = np.nan
    write_csv(tmp_path / "gap.csv", samples, 250.0, made.lead_names)
    config = EcgConfig(recording=tmp_path / "gap.csv")
    assert [code for _, code, _ in alerts(played(config), config)] == [Code.SIGNAL_LOST]
    assert MAX_AGE_S <= 2.0


def test_the_page_gets_every_sample_with_what_it_means(vt_into_vf: list[Cycle[EcgOutput]]) -> None:
    shown = [each.decision.live["ecg"] for each in vt_into_vf if "ecg" in each.decision.live]
    expected = 0
    for live in shown:
        assert isinstance(live, dict)
        assert set(live) == {
            "lead_names", "rate_hz", "first_index", "samples_mv", "lead_off", "quality", "beats_s",
            "beat_classes", "heart_rate_bpm", "rhythm", "status", "confidence", "conditions", "patient", "simulated",
            "replayed", "time_s",
        }  # fmt: skip
        count = len(live["samples_mv"][0])
        assert {len(lead) for lead in live["samples_mv"]} == {count}
        if count:
            assert live["first_index"] == expected
        expected += count
    assert expected == pytest.approx(34 * 125, abs=40)
    assert shown[-1]["lead_names"] == ["II", "V1"]
    assert shown[-1]["simulated"] is True


def test_under_load_the_network_looks_less_often_and_decisions_go_on() -> None:
    spec = ecg_loop(simulated("stable"))
    assert len(spec.degradations) == 1
    parts = spec.build()
    last = list(replay(replace(spec, build=lambda: parts), until_s=8.0))[-1]
    assert last.decision.output.status == "NORMAL"
    decision = parts.step(replace(last.snapshot, level=1, views={"ecg": View((), None)}))
    assert decision.output == last.decision.output


def test_a_specification_costs_neither_numpy_nor_a_model() -> None:
    program = (
        "import sys\n"
        "from apps.healthcare.app import app\n"
        "specs = app.loops(app.config())\n"
        "assert [spec.name for spec in specs] == ['ecg', 'vitals', 'imaging']\n"
        "heavy = {'numpy', 'scipy', 'onnxruntime', 'torch', 'sklearn', 'wfdb'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
