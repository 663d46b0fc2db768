"""Train and evaluate: a task's options become flags, what it measures is printed, errors name the flag."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from edgeai_core.app import App, Progress, Task
from edgeai_core.cli.main import execute
from edgeai_core.errors import InputError
from edgeai_core.metrics.evaluation import DataRef, Evaluation, Figure, ModelRef


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    data: list[Path] = Field(min_length=1, description="folders of recordings")
    model: Path | None = Field(default=None, description="a model of your own")
    folds: int = Field(default=5, ge=2, description="parts of the cross-validation")
    cross_validate: bool = Field(default=False, description="train anew on other patients")
    kind: Literal["fast", "whole"] = "fast"
    leads: tuple[str, ...] = ()


asked: list[Options] = []


def evaluate(options: Options, progress: Progress) -> Evaluation:
    asked.append(options)
    if not options.data[0].exists():
        raise InputError(f"{options.data[0]}: no such folder")
    for done in range(3):
        progress("records", done + 1, 3)
    figures = {"sensitivity": Figure(0.987, 0.98, 0.99, 300), "delay": Figure(1.25, None, None, 4, "s")}
    rows: tuple[Mapping[str, object], ...] = ({"record": "100", "beats": 2273},)
    return Evaluation(
        "clinic.ecg", ModelRef("net", "1", "ab"), (DataRef("ours", "CC0", {"records": 2}),), figures, rows
    )


def train(options: Options, progress: Progress) -> Mapping[str, object]:
    figure = Figure(0.987, 0.98, 0.99, 300)
    return {
        "model": Path("model.onnx"),
        "epochs": options.folds,
        "figures": {"sensitivity": figure.to_json()},
    }


APP = App(
    "clinic",
    "a ward",
    BaseModel,
    lambda config: [],
    tasks=(
        Task("ecg", "Rhythms of the heart.", evaluate, Options, train, Options),
        Task("beats", "Beats alone.", evaluate, Options),
    ),
)


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked.clear()
    monkeypatch.setattr("edgeai_core.cli.tasks.load_app", lambda name: APP)
    monkeypatch.setattr("edgeai_core.cli.tasks.app_names", lambda: ["clinic"])


def test_every_option_is_a_flag_and_a_list_is_a_repeated_one(tmp_path: Path) -> None:
    flags = [
        "--data",
        str(tmp_path),
        "--data",
        "other",
        "--folds",
        "3",
        "--cross-validate",
        "--kind",
        "whole",
    ]
    assert execute(["evaluate", "clinic.ecg", *flags, "--leads", "II", "--leads", "V1"]) == 0
    assert asked == [
        Options(
            data=[tmp_path, Path("other")], folds=3, cross_validate=True, kind="whole", leads=("II", "V1")
        )
    ]


def test_what_was_not_said_is_the_tasks_own_default(tmp_path: Path) -> None:
    assert execute(["evaluate", "clinic.ecg", "--data", str(tmp_path)]) == 0
    assert asked == [Options(data=[tmp_path])]


def test_json_is_one_object_with_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["evaluate", "clinic.ecg", "--data", str(tmp_path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["figures"]["sensitivity"] == {
        "value": 0.987,
        "low": 0.98,
        "high": 0.99,
        "n": 300,
        "unit": "1",
    }
    assert said["model"] == {"name": "net", "version": "1", "digest": "ab"}
    assert said["rows"] == [{"record": "100", "beats": 2273}]


def test_people_get_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["evaluate", "clinic.ecg", "--data", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for words in ("98.70 %", "98.00 % to 99.00 %", "1.25 s", "2 records", "2273"):
        assert words in out


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (["evaluate", "clinic.ecg"], "--data: Field required", 2),
        (["evaluate", "clinic.ecg", "--data", "x", "--folds", "1"], "--folds: ", 2),
        (["evaluate", "clinic.ecg", "--data", "x", "--folds", "many"], "--folds", 2),
        (["evaluate", "clinic.ecg", "--data", "x", "--kind", "slow"], "--kind: ", 2),
        (["evaluate", "clinic.ecg", "--data", "x", "--colour"], "--colour", 2),
        (["evaluate", "clinic.eeg"], "has no task 'eeg' (it has: clinic.ecg, clinic.beats)", 2),
        (["train", "clinic.beats"], "cannot be trained", 2),
        (["evaluate", "clinic.ecg", "--data", "/none"], "/none: no such folder", 3),
    ],
)
def test_a_wrong_flag_is_one_line_that_names_it(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str, code: int
) -> None:
    assert execute(arguments) == code
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_training_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["train", "clinic.ecg", "--data", str(tmp_path), "--folds", "7"]) == 0
    figures = "figures:\n  sensitivity: 98.70 % (98.00 % to 99.00 %), n 300\n"
    assert capsys.readouterr().out == f"model: model.onnx\nepochs: 7\n{figures}"


def test_help_lists_the_tasks_and_their_flags(capsys: pytest.CaptureFixture[str]) -> None:
    execute(["evaluate", "--help"])
    out = capsys.readouterr().out
    assert "clinic.ecg" in out
    assert "Rhythms of the heart." in out
    execute(["train", "--help"])
    assert "clinic.beats" not in capsys.readouterr().out
    execute(["evaluate", "clinic.ecg", "--help"])
    out = capsys.readouterr().out
    assert "--cross-validate" in out
    assert "folders of recordings [needed]" in out
    assert "[default: 5]" in out
