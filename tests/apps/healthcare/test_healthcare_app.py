"""The healthcare app's front door and its configuration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from apps.healthcare.app import app
from apps.healthcare.config import HealthcareConfig
from apps.healthcare.ecg.csvfile import write_csv
from apps.healthcare.ecg.decide import Code
from apps.healthcare.simulation.samples import write_samples
from edgeai_core.cli.options import choose
from edgeai_core.errors import ConfigError, InputError

ROOT = Path(__file__).parents[3]


def test_without_a_recording_the_patient_is_simulated() -> None:
    spec = next(each for each in app.loops(HealthcareConfig()) if each.name == "ecg")
    assert set(spec.rules) == set(Code)


def test_inputs_put_a_recording_in_place_of_the_simulation(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", np.zeros((100, 1)), 250.0, ["II"])
    assert app.inputs is not None
    config = app.inputs(HealthcareConfig(), {"ecg": str(tmp_path / "a.csv")})
    assert config.ecg.recording == tmp_path / "a.csv"
    assert app.inputs(config, {}) is config


def test_a_loop_that_does_not_exist_and_a_damaged_file_are_refused_before_anything_starts(
    tmp_path: Path,
) -> None:
    assert app.inputs is not None
    with pytest.raises(ConfigError, match="no recordings for xray"):
        app.inputs(HealthcareConfig(), {"xray": "x"})
    (tmp_path / "bad.csv").write_bytes(b"\x00\xff")
    with pytest.raises(InputError, match=r"bad\.csv"):
        app.inputs(HealthcareConfig(), {"ecg": str(tmp_path / "bad.csv")})


@pytest.mark.parametrize(
    ("table", "field"),
    [
        ({"ecgg": {}}, "ecgg"),
        ({"ecg": {"mains_hz": 55}}, "mains_hz"),
        ({"ecg": {"patient": ""}}, "patient"),
        ({"ecg": {"limits": {"asystole_s": 0.1}}}, "asystole_s"),
        ({"ecg": {"limits": {"asystole": 4}}}, "asystole"),
        ({"ecg": {"clear_after_s": -1}}, "clear_after_s"),
        ({"ecg": {"simulation": {"scenario": "party"}}}, "party"),
        ({"ecg": {"simulation": {"leads": ["II", "II"]}}}, "leads"),
        ({"ecg": {"simulation": {"rate_hz": 10}}}, "rate_hz"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(table: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        HealthcareConfig.model_validate(table)


def test_limits_can_be_set() -> None:
    config = HealthcareConfig.model_validate({"ecg": {"limits": {"tachycardia_bpm": 160}}})
    assert config.ecg.limits.tachycardia_bpm == 160
    assert config.ecg.limits.bradycardia_bpm == 40


def test_the_sample_recordings_are_what_the_simulation_makes(tmp_path: Path) -> None:
    stored = ROOT / "data_samples" / "healthcare"
    for made in write_samples(tmp_path):
        for path in (made, made.with_suffix(".truth.json")):
            if path.exists():
                name = path.relative_to(tmp_path)
                assert (stored / name).read_text() == path.read_text(), name
        assert made.stat().st_size < 400_000


def test_panels_and_models_that_the_app_names_are_there() -> None:
    for panel in app.panels:
        assert panel.module.is_file()
    for card in app.models:
        assert card.is_file()


def test_a_recording_is_for_the_loop_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "film.png").write_bytes(b"not looked at here")
    (chosen,) = choose(["healthcare.imaging"], inputs=[str(tmp_path)])
    assert [loop.name for loop in chosen.loops] == ["imaging"]
    assert chosen.config.imaging.recording == tmp_path
    assert chosen.config.ecg.recording is None
