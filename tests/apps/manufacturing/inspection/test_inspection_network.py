"""A network taught on the parts themselves: it ships as it was taught, its masks move with pictures, it keeps time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from apps.manufacturing.inspection import places
from apps.manufacturing.inspection import plan as planning
from apps.manufacturing.inspection.examples import Example
from apps.manufacturing.inspection.inspector import open_inspector
from apps.manufacturing.inspection.options import TrainOptions
from apps.manufacturing.inspection.plan import HINT, Plan, hint, plan
from apps.manufacturing.simulation.line import write_parts
from edgeai_core.errors import MissingExtraError
from edgeai_core.runners.card import read_card
from edgeai_core.sensors.picture import read_picture


def examples(good: int, bad: int) -> list[Example]:
    return [Example(Path(f"{n}.png"), n >= good, str(n)) for n in range(good + bad)]


def silent(what: str, done: int, total: int) -> None:
    pass


def visits(planned: Plan, count: int) -> float:
    """Pictures that all networks together are taught on: each but the last leaves a fold out; a single one a third."""
    shares = planned.trainings - 1 if planned.trainings > 1 else 2 / 3
    return planned.epochs * planned.share * count * shares


def test_a_network_is_taught_within_its_time_however_many_pictures_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(planning, "find_spec", lambda name: True)
    for count in (40, 260, 1_000, 3_000, 8_000):
        planned = plan("auto", examples(count // 2, count // 2), 224, 5)
        assert planned.epochs >= 1
        assert visits(planned, count) + planned.looks / 2 <= 18_001
    small, large = (visits(plan("auto", examples(500, 500), side, 5), 1_000) for side in (224, 288))
    assert large < small


def test_trainings_side_by_side_have_a_core_each_and_the_one_left_over_has_all() -> None:
    pytest.importorskip("torch")
    from apps.manufacturing.inspection.tune import Shared

    def threads(trainings: int, times: int, cores: int) -> list[int]:
        shared = Shared(silent, trainings, times, cores)
        return [shared.next_threads() for _ in range(trainings * times)]

    assert threads(3, 2, 2) == [1, 1, 2, 1, 1, 2]
    assert threads(4, 1, 2) == [1, 1, 1, 1]
    assert threads(1, 1, 2) == [2]
    assert threads(3, 1, 1) == [1, 1, 1]


def test_few_bad_parts_or_a_method_of_fixed_features_teach_no_network() -> None:
    assert plan("auto", examples(500, 5), 224, 5).epochs == 0
    assert plan("supervised", examples(500, 500), 224, 5).epochs == 0
    assert plan("one-class", examples(500, 500), 224, 5).epochs == 0


def test_without_torch_it_is_said_what_torch_would_give(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise MissingExtraError("training needs the extra `train`: pip install 'edgeai[train]'")

    monkeypatch.setattr(planning, "find_spec", lambda name: None)
    monkeypatch.setattr(planning, "torch_or_explain", missing)
    assert plan("auto", examples(100, 100), 224, 5).epochs == 0
    assert hint("auto", examples(100, 100)) == HINT
    assert hint("auto", examples(100, 5)) == hint("supervised", examples(100, 100)) == ""
    with pytest.raises(MissingExtraError, match="train"):
        plan("fine-tuned", examples(100, 100), 224, 5)


def test_a_mask_moves_with_its_picture() -> None:
    pytest.importorskip("torch")
    from apps.manufacturing.inspection.tune import varied

    pixels = np.full((60, 90), 40, np.uint8)
    pixels[10:18, 60:72] = 230
    mask = (pixels > 128).astype(np.float32)
    for seed in range(20):
        shown, moved = varied(pixels, mask, np.random.default_rng(seed))
        assert moved is not None
        assert shown.shape == moved.shape
        marked, rest = shown[moved > 0.9], shown[moved < 0.1]
        assert marked.mean() > rest.mean() + 50


def test_a_network_taught_on_the_parts_ships_as_it_was_taught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from apps.manufacturing.inspection.train import train

    monkeypatch.setattr(planning, "_EPOCHS", 1)
    monkeypatch.setattr(planning, "_TUNED_LOOKS", 24)
    monkeypatch.setattr(places, "_STEPS", (10, 10))
    write_parts(str(tmp_path), 16, 8, 5)
    names = [path.name for kind in ("good", "bad") for path in sorted((tmp_path / kind).iterdir())]
    (tmp_path / "groups.csv").write_text("file,group\n" + "".join(f"{name},{name[:-4]}\n" for name in names))
    done: list[tuple[int, int]] = []

    def progress(what: str, now: int, total: int) -> None:
        if what == "fine-tuning":
            done.append((now, total))

    options = TrainOptions(
        good=[tmp_path / "good"], bad=[tmp_path / "bad"], masks=[tmp_path / "masks"], groups=tmp_path / "groups.csv",
        out=tmp_path / "taught", method="fine-tuned", size=64, folds=2, threads=1,
    )  # fmt: skip
    written = train(options, progress)
    assert written["method"] == "fine-tuned"
    assert isinstance(written["largest_difference_to_taught_score"], float)
    assert written["largest_difference_to_taught_score"] < 0.01
    assert done == [(number + 1, len(done)) for number in range(len(done))]
    card = read_card(tmp_path / "taught" / "model.card.toml")
    assert card.parameters["method"] == "fine-tuned"
    inspector = open_inspector(tmp_path / "taught")
    found = inspector.inspect(read_picture(next((tmp_path / "bad").iterdir())))
    assert found.heat.shape == (8, 8)
    assert np.isfinite(found.score)
    stripes = np.tile(np.array([20, 20, 20, 235, 235, 235], np.uint8), (200, 40))
    assert inspector.inspect(stripes).quality <= 0.95, "what it has never seen must not pass"
