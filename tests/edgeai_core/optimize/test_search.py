"""Search and distillation: a target that nothing meets, a third of the grid, a front that is one, a student's card."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from edgeai_core.cli.main import execute
from edgeai_core.errors import InputError
from edgeai_core.optimize.examples import read_examples, split_by_group
from edgeai_core.optimize.placement import published_ms
from edgeai_core.optimize.profiles import profile
from edgeai_core.optimize.search import explore
from edgeai_core.optimize.trial import Candidate, Trial, outermost, pareto


def trial(latency: float, accuracy: float | None) -> Trial:
    return Trial(Candidate(1.0, round(latency)), latency, 1, accuracy)


def test_the_front_holds_what_is_neither_slower_nor_worse_than_another() -> None:
    trials = [trial(30, 0.9), trial(10, 0.8), trial(20, 0.7), trial(40, 0.9), trial(50, None)]
    assert [each.latency_ms for each in pareto(trials)] == [10, 30]
    given_up = dataclasses.replace(trial(5, 0.7), pruned=True)
    assert [each.latency_ms for each in pareto([*trials, given_up])] == [10, 30]


def test_the_widest_and_the_sharpest_that_meet_the_target_are_tried_first() -> None:
    grid = [(1.0, 40), (0.75, 56), (0.75, 40), (0.5, 56), (0.5, 40), (0.35, 96)]
    tried = outermost([Candidate(*each) for each in grid])
    assert tried == [Candidate(1.0, 40), Candidate(0.75, 56), Candidate(0.35, 96)]


def test_a_search_teaches_the_outermost_candidates_that_meet_the_target_before_others() -> None:
    pytest.importorskip("optuna", reason="needs the extra `train`")
    known = [
        Trial(Candidate(width, side), width * side**2 / 1000, 1)
        for width in (1.0, 0.5, 0.25)
        for side in (96, 64, 32)
    ]

    def teach(trial: Trial, attempt: object, label: str) -> tuple[Trial, None]:
        return dataclasses.replace(trial, accuracy=trial.candidate.width), None

    done = list(explore(known, 4.1, teach, 1, trials=3))
    assert done[:2] == [
        Candidate(1.0, 64),
        Candidate(0.25, 96),
    ]  # half the width affords no more pixels than the whole
    assert len(done) == 3


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """Bright on the left, or on the right: 60 pictures in noise, by groups of two."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    inputs = rng.normal(0.3, 0.05, (60, 1, 32, 32)).astype(np.float32)
    for row, label in enumerate(labels):
        inputs[row, 0, :, 16 * label : 16 * label + 16] += 0.5
    path = tmp_path / "shapes.npz"
    np.savez(path, inputs=inputs, labels=labels, groups=np.arange(60) // 2 * 2 + labels)
    return path


def test_groups_are_never_split(shapes: Path) -> None:
    rest, part = split_by_group(read_examples(shapes, 32, 1), 0.25)
    assert not set(rest.groups) & set(part.groups)
    assert set(part.labels) == {0, 1}


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"inputs": np.zeros((4, 1, 8, 8)), "labels": np.zeros(4, int)}, "two classes"),
        ({"inputs": np.zeros((4, 1, 8, 8)), "labels": np.zeros(3, int)}, "3\\] labels for 4"),
        ({"inputs": np.full((4, 1, 8, 8), np.inf), "labels": np.arange(4)}, "not a number"),
        ({"pictures": np.zeros(4)}, "inputs and labels"),
    ],
)
def test_examples_that_make_no_sense_are_refused(
    arrays: dict[str, np.ndarray], said: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=said):
        read_examples(tmp_path / "bad.npz", 8)


def test_a_table_that_points_outside_its_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label\n../secret.png,a\n", encoding="utf-8")
    with pytest.raises(InputError, match="outside"):
        read_examples(tmp_path, 8)


@pytest.fixture
def torch_here() -> None:
    pytest.importorskip("torch", reason="needs the extra `train`", exc_type=ImportError)
    pytest.importorskip("onnx", reason="needs the extra `train`")


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("torch_here")
def test_a_search_teaches_a_part_of_the_grid_and_exports_the_best(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optuna", reason="needs the extra `train`")
    out = tmp_path / "out"
    sizes = ["--width", "0.35", "--width", "0.1", "--resolution", "32", "--resolution", "24"]
    command = [
        "model",
        "search",
        "--data",
        str(shapes),
        "--out",
        str(out),
        "--grey",
        "--epochs",
        "1",
        "--trials",
        "2",
    ]
    assert execute([*command, *sizes, "--target-ms", "100000", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["trials"]) == 4
    assert sum(each["accuracy"] is not None for each in told["trials"]) == 2
    assert Path(told["model"]).is_file()
    assert Path(told["model"]).with_suffix("").with_suffix("").parent == out
    ElementTree.parse(told["picture"])
    assert execute([*command, *sizes, "--target-ms", "0.000001"]) == 3
    assert "no candidate meets" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("board", "ms"),
    [
        ("jetson-nano", 1000 / 43.5),
        ("coral", 1000 / 158.7),
        ("raspberry-pi-4", 1000 / 7.2 / 1.8),  # of YOLOX-nano, by its multiply-additions
        ("agx-orin", 1000 / 178.2),  # of the slower Xavier NX
    ],
)
def test_a_boards_time_is_what_was_published_of_the_network_or_its_like(board: str, ms: float) -> None:
    assert published_ms(profile(board), "MobileNetV2")[0] == pytest.approx(ms)


@pytest.mark.usefixtures("torch_here")
def test_a_search_for_a_board_measures_in_the_boards_time() -> None:
    from edgeai_core.optimize.search import measure_grid

    (found,) = measure_grid([Candidate(0.35, 32)], 1, 2, lambda *_: None, reference_ms=1e6)
    assert 1 < found.latency_ms < 1e6  # a hundredth of the reference's work, of which the board takes 1000 s


@pytest.mark.usefixtures("torch_here")
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--target", "nuc"], "no figure of MobileNetV2"),
        (["--target", "abacus"], "no target 'abacus'"),
        (["--target", "coral", "--factor", "2"], "name one"),
        (["--factor", "0"], "above 0"),
    ],
)
def test_a_device_that_is_not_known_or_told_twice_is_refused(
    flags: list[str], said: str, shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["model", "search", "--data", str(shapes), "--out", str(tmp_path / "out")]
    assert execute([*command, *flags]) != 0
    assert said in capsys.readouterr().err


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("torch_here")
def test_a_student_learns_from_a_model_file_and_carries_its_card(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgeai_core.runners.card import ModelCard, TensorSpec, card_path, digest_of, read_card, write_card
    from tests.edgeai_core.optimize.conftest import left_or_right

    teacher = tmp_path / "teacher.onnx"
    teacher.write_bytes(left_or_right())
    write_card(
        ModelCard(
            name="teacher", version="1", task="test", file=teacher.name, digest=digest_of(teacher), licence="x",
            intended_use="y", limits=(), inputs=(TensorSpec("image", (1, 1, 32, 32), "float32"),),
            outputs=(TensorSpec("logits", (1, 2), "float32"),),
        ),
        card_path(teacher),
    )  # fmt: skip
    out = tmp_path / "out"
    command = [
        "model",
        "distil",
        str(teacher),
        "--data",
        str(shapes),
        "--out",
        str(out),
        "--epochs",
        "2",
        "--json",
    ]
    assert execute([*command, "--width", "0.1", "--shrink", "2"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["teacher"]["value"] == 1.0
    assert told["alone"]["n"] == told["student"]["n"]
    card = read_card(card_path(Path(told["path"])))
    assert card.parameters["derived_from"] == digest_of(teacher)
    assert "temperature 3, alpha 0.1" in str(card.parameters["derived_method"])
