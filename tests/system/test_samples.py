"""The sample recordings: they give the decisions that were accepted, and the demo plays them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeai_core.app import load_app
from edgeai_core.cli.demo import MARGIN_S, SECONDS_WITHOUT_TERMINAL, choose_cast
from edgeai_core.errors import ConfigError
from edgeai_core.testing import compare, decisions, play, read_decisions, recordings_in

SAMPLES = Path(__file__).parents[2] / "data_samples"


@pytest.mark.parametrize(
    ("app_name", "loop", "recording"),
    [pytest.param(*each, id=f"{each[0]}.{each[1]}-{each[2].name}") for each in recordings_in(SAMPLES)],
)
def test_a_recording_gives_the_decisions_that_were_accepted(
    app_name: str, loop: str, recording: Path
) -> None:
    app = load_app(app_name)
    now = list(decisions(play(app, app.config(), {loop: str(recording)})))
    changed = compare(read_decisions(recording), now)
    assert not changed, f"`edgeai decisions accept` takes these: {'; '.join(map(str, changed))}"


def test_there_are_recordings_of_every_app_that_declares_a_demo() -> None:
    assert {app for app, _, _ in recordings_in(SAMPLES)} >= {"automotive", "healthcare", "manufacturing"}


def test_the_demo_plays_every_app_with_recordings_and_knows_what_is_to_come() -> None:
    cast = choose_cast(SAMPLES)
    assert {"automotive", "healthcare", "manufacturing"} <= set(cast.arguments)
    assert f"healthcare.ecg={SAMPLES / 'healthcare' / 'ecg'}" in cast.arguments
    assert cast.in_time == {"EMERGENCY_BRAKING"}
    in_time = {code for _, code, at_s in cast.expected if at_s + MARGIN_S <= SECONDS_WITHOUT_TERMINAL}
    assert {"VENTRICULAR_FIBRILLATION", "ASYSTOLE", "EMERGENCY_BRAKING"} <= in_time


def test_a_folder_without_recordings_is_no_demo(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no recording of an installed app"):
        choose_cast(tmp_path)
