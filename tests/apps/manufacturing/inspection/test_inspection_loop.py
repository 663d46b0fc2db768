"""The inspection loop as it ships, on the simulated line whose truth is known."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from apps.manufacturing.app import app
from apps.manufacturing.config import InspectionConfig, LineConfig, ManufacturingConfig
from apps.manufacturing.inspection.decide import Code, InspectionOutput
from apps.manufacturing.inspection.evidence import EvidenceSink
from apps.manufacturing.inspection.inspector import open_inspector
from apps.manufacturing.inspection.loop import SIMULATED_MODEL, inspection_loop
from apps.manufacturing.simulation.line import Scenario, line_part
from apps.manufacturing.simulation.parts import draw_part
from apps.manufacturing.simulation.samples import write_samples
from edgeai_core.errors import ConfigError, InputError
from edgeai_core.loop.cycle import Cycle, Fault, FaultKind
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.sensors.replay import replay

ROOT = Path(__file__).parents[4]


def config(scenario: str) -> InspectionConfig:
    return InspectionConfig(simulation=LineConfig(scenario=scenario, seed=7))


@pytest.fixture(scope="module")
def rejects() -> list[Cycle[InspectionOutput]]:
    return list(replay(inspection_loop(config("run_of_rejects")), until_s=16.1))


def test_bad_parts_are_rejected_where_their_defect_is_and_good_ones_pass(
    rejects: list[Cycle[InspectionOutput]],
) -> None:
    parts = [part for cycle in rejects for part in cycle.decision.output.parts]
    assert len(parts) == 32
    made = [line_part(Scenario.RUN_OF_REJECTS, number, 7).part for number in range(32)]
    bad = [(part, each) for part, each in zip(parts, made, strict=True) if each.defect]
    good = [part for part, each in zip(parts, made, strict=True) if not each.defect]
    assert sum(part.verdict == "pass" for part in good) >= len(good) - 1
    assert sum(part.verdict == "reject" for part, _ in bad) >= len(bad) - 1
    touched = 0
    for part, each in bad:
        x1, y1, x2, y2 = each.box or (0, 0, 0, 0)
        touched += any(
            b[0] < x2 and b[2] > x1 and b[1] < y2 and b[3] > y1 for b in (d.box for d in part.defects)
        )
    assert touched >= 0.7 * len(bad)


def test_good_parts_pass_as_jpeg_too() -> None:
    inspector = open_inspector(SIMULATED_MODEL)
    passed = 0
    for number in range(12):
        part = draw_part(np.random.default_rng((5, number)))
        packed = cv2.imencode(".jpg", part.pixels, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
        pixels = np.asarray(cv2.imdecode(packed, cv2.IMREAD_UNCHANGED), np.uint8)
        passed += inspector.inspect(pixels).quality > 0.95
    assert passed >= 11


def test_a_run_of_rejects_is_an_alert_that_ends_with_a_good_part(
    rejects: list[Cycle[InspectionOutput]],
) -> None:
    held = [any(c.code == Code.RUN_OF_REJECTS for c in cycle.decision.conditions or ()) for cycle in rejects]
    assert held[24] or held[25]
    assert not held[19]
    assert not held[-1]


def test_the_tally_and_what_the_page_draws(rejects: list[Cycle[InspectionOutput]]) -> None:
    last = rejects[-1].decision
    tally = last.output.tally
    assert tally.parts == tally.passed + tally.rejected + tally.not_judged == 32
    assert tally.parts_per_hour == pytest.approx(7200, rel=0.01)
    shown = last.live["part"]
    assert isinstance(shown, dict)
    assert shown["picture"].startswith("data:image/jpeg;base64,")
    assert len(shown["picture"]) < 60_000
    assert shown["simulated"] is True


def test_parts_are_not_judged_in_the_dark_and_the_camera_is_the_alert() -> None:
    cycles = list(replay(inspection_loop(config("camera")), until_s=16.1))
    dark = [
        cycle for cycle in cycles if any(c.code == Code.CAMERA_DARK for c in cycle.decision.conditions or ())
    ]
    assert len(dark) >= 6
    assert {cycle.decision.output.verdict for cycle in dark} == {"cannot tell"}
    assert cycles[10].decision.conditions == ()


def test_no_pictures_is_a_condition_and_what_stood_stands() -> None:
    parts = inspection_loop(config("shift")).build()
    snapshot = Snapshot(0, 0, 0, 0, {})
    stale = parts.fallback(snapshot, Fault(FaultKind.STALE, "input 'camera' is old", input="camera"))
    assert [each.code for each in stale.conditions or ()] == [Code.NO_PICTURES]
    assert stale.output.verdict == "cannot tell"
    assert parts.fallback(snapshot, Fault(FaultKind.OVERRUN, "")).conditions is None


def test_every_reject_leaves_a_picture_within_the_budget(
    rejects: list[Cycle[InspectionOutput]], tmp_path: Path
) -> None:
    wanted = [part for cycle in rejects for part in cycle.decision.output.parts if part.verdict == "reject"]
    sink = EvidenceSink(tmp_path / "all", 10_000_000, "camera")
    for cycle in rejects:
        sink.put(cycle)
    sink.close()
    files = sorted((tmp_path / "all").glob("*.jpg"))
    assert len(files) == len(wanted)
    assert np.asarray(cv2.imread(str(files[0]))).shape == (224, 224, 3)
    budget = 3 * files[0].stat().st_size
    small = EvidenceSink(tmp_path / "small", budget, "camera")
    for cycle in rejects:
        small.put(cycle)
    small.close()
    kept = sorted((tmp_path / "small").glob("*.jpg"))
    assert 1 <= len(kept) < len(files)
    assert sum(path.stat().st_size for path in kept) <= budget
    assert kept[-1].name.split("_", 1)[1] == files[-1].name.split("_", 1)[1], "the newest stays"


def test_a_recording_replayed_twice_gives_the_same_decisions(tmp_path: Path) -> None:
    recording = write_samples(tmp_path)[0]
    spec = inspection_loop(InspectionConfig(recording=recording))
    first, again = ([cycle.decision.output for cycle in replay(spec)] for _ in range(2))
    assert first == again
    assert len(first) == 13


def test_the_sample_recordings_are_what_the_simulation_makes(tmp_path: Path) -> None:
    stored = ROOT / "data_samples" / "manufacturing" / "inspection"
    for made in write_samples(tmp_path):
        assert (
            made.with_suffix(".truth.json").read_text()
            == (stored / made.name).with_suffix(".truth.json").read_text()
        )
        assert (stored / made.name).stat().st_size < 300_000


def test_inputs_put_a_recording_in_place_of_the_camera(tmp_path: Path) -> None:
    assert app.inputs is not None
    recording = write_samples(tmp_path)[0]
    changed = app.inputs(ManufacturingConfig(), {"inspection": str(recording)})
    assert changed.inspection.recording == recording
    with pytest.raises(ConfigError, match="no loop ovens"):
        app.inputs(ManufacturingConfig(), {"ovens": "x"})
    with pytest.raises(InputError, match="no such folder"):
        app.inputs(ManufacturingConfig(), {"inspection": str(tmp_path / "away")})


def test_a_line_that_is_not_simulated_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="no line 'party'"):
        inspection_loop(config("party")).build()
    with pytest.raises(ValidationError, match="pass_quality"):
        InspectionConfig(pass_quality=1.5)


def test_a_specification_costs_neither_numpy_nor_a_model() -> None:
    program = (
        "import sys\n"
        "from apps.manufacturing.app import app\n"
        "assert [spec.name for spec in app.loops(app.config())][0] == 'inspection'\n"
        "heavy = {'numpy', 'scipy', 'cv2', 'onnxruntime', 'torch', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_panels_and_models_that_the_app_names_are_there() -> None:
    assert all(panel.module.is_file() for panel in app.panels)
    assert all(card.is_file() for card in app.models)
    assert replace(app, panels=()).name == "manufacturing"
