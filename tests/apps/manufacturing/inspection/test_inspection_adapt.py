"""A further kind of part learnt on the device: installed when it is proven and better, else the model in use stays."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the extra `teach`")

from apps.manufacturing.config import InspectionConfig
from apps.manufacturing.inspection import adapt
from apps.manufacturing.inspection.adapt import TASK, continual
from apps.manufacturing.inspection.graft import FrozenModel, _stripped
from apps.manufacturing.inspection.graph import BACKBONE
from apps.manufacturing.inspection.inspector import open_inspector
from apps.manufacturing.inspection.loop import inspection_loop
from apps.manufacturing.inspection.options import ContinualOptions, TrainOptions
from apps.manufacturing.inspection.train import train
from apps.manufacturing.simulation.line import write_parts
from edgeai_core.cli.main import execute
from edgeai_core.errors import ModelError
from edgeai_core.learning import gate
from edgeai_core.learning.adapter import Adapter
from edgeai_core.learning.apart import Parts
from edgeai_core.learning.checkpoint import load_arrays
from edgeai_core.learning.continual import Samples
from edgeai_core.runners.card import read_card
from edgeai_core.runners.store import current_folder, install, versions
from edgeai_core.sensors.picture import read_picture
from edgeai_core.state import State

pytestmark = pytest.mark.timeout(
    600
)  # teaching a model is some seconds of computing, on a busy machine a minute


def silent(what: str, done: int, total: int) -> None:
    pass


def write_plates(folder: Path, seed: int) -> None:
    """Plates of noisy grey, which look nothing like flanges; the good ones have two bores, the bad ones none."""
    random = np.random.default_rng(seed)
    for kind in ("good", "bad"):
        (folder / kind).mkdir(parents=True)
        for number in range(12):
            pixels = random.normal(150, 12, (72, 72)).clip(0, 255).astype(np.uint8)
            if kind == "good":
                for _ in range(2):
                    at = tuple(int(each) for each in random.integers(16, 56, 2))
                    cv2.circle(pixels, at, 7, 5, -1)
            cv2.imwrite(str(folder / kind / f"{kind}_{seed}_{number:02}.png"), pixels)


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few samples are judged by: what is tried here is the way, not the figures."""
    monkeypatch.setattr(gate, "MIN_HELD_OUT", 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model taught on a few simulated flanges, their pictures, and those of plates."""
    root = tmp_path_factory.mktemp("learning-on")
    write_parts(str(root / "first"), 8, 4, 4)
    write_parts(str(root / "flanges"), 12, 12, 5)
    write_plates(root / "plates", 1)
    files = [
        path for part in ("first", "flanges", "plates") for path in sorted((root / part).glob("*/*.png"))
    ]
    (root / "groups.csv").write_text("file,group\n" + "".join(f"{p.name},{p.stem}\n" for p in files))
    options = TrainOptions(
        good=[root / "first" / "good"], bad=[root / "first" / "bad"], groups=root / "groups.csv",
        out=root / "taught", size=64, folds=2, threads=1,
    )  # fmt: skip
    train(options, silent)
    return root


def options_of(folder: Path, **changes: Any) -> ContinualOptions:
    given: dict[str, Any] = {
        "good": [folder / "plates" / "good"], "bad": [folder / "plates" / "bad"], "groups": folder / "groups.csv",
        "known_good": [folder / "flanges" / "good"], "known_bad": [folder / "flanges" / "bad"],
        "model": folder / "taught", "folds": 2, "allowed_fall": 0.1,
    }  # fmt: skip
    return ContinualOptions(**(given | changes))


def flags_of(folder: Path, state: Path) -> list[str]:
    flags = ["learn", "continual", TASK, "--json", "--state", str(state)]
    for name, value in options_of(folder).model_dump(exclude_defaults=True).items():
        for each in value if isinstance(value, list) else [value]:
            flags += [f"--{name.replace('_', '-')}", str(each)]
    return flags


def test_a_new_part_is_learnt_installed_used_by_the_loop_and_rolled_back(
    folder: Path, state_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(flags_of(folder, state_folder)) == 0
    said = json.loads(capsys.readouterr().out)
    figures = said["figures"]
    assert figures["new_before"]["value"] < figures["new_continual"]["value"] > 0.9
    assert figures["old_fall_continual"]["value"] < figures["old_fall_naive"]["value"] + 0.05
    assert said["rows"][0]["learnt"] == "start"
    assert said["lesson"]["installed"] == "1.0.0+1"
    assert said["lesson"]["gate"]["parity_difference"] < 0.01
    state = State(state_folder)
    learnt = current_folder(state, TASK)
    assert learnt is not None
    assert {path.name for path in learnt.iterdir()} == {
        "model.onnx", "model.card.toml", "model.golden.npz", "lesson.npz", "version.json",
    }  # fmt: skip
    card = read_card(learnt / "model.card.toml")
    assert (card.version, card.parameters["method"]) == ("1.0.0+1", "continual")
    inspector = open_inspector(learnt)
    plates = [(kind, path) for kind in ("good", "bad") for path in (folder / "plates" / kind).iterdir()]
    right = [
        (inspector.inspect(read_picture(path)).quality > 0.95) == (kind == "good") for kind, path in plates
    ]
    assert np.mean(right) > 0.9
    parts = inspection_loop(InspectionConfig()).build()  # without a model of its own: the current one
    assert parts.step._inspector.card.version == "1.0.0+1"  # type: ignore[attr-defined]
    assert execute(["model", "rollback", TASK, "--state", str(state_folder)]) == 0
    assert current_folder(state, TASK) is None


def test_a_second_lesson_stands_on_what_the_first_one_remembers(folder: Path, state_folder: Path) -> None:
    state = State(state_folder).create()
    first = continual(options_of(folder), silent)
    install(state, TASK, "1.0.0+1", lambda into: first.write(into, "1.0.0+1").to_json())
    lesson, _ = load_arrays(state.models / TASK / "1.0.0+1" / "lesson.npz")
    assert len(lesson["parts_means"]) == 2  # flanges, and plates: each has weights of its own
    second = continual(options_of(folder, known_good=[], known_bad=[], model=None), silent)
    assert second.base == "1.0.0+1"
    before, after = (each.evaluation.data[0].counts["known, remembered"] for each in (first, second))
    assert after == before + 12  # half of the plates
    known = second.evaluation.figures["new_before"].value
    assert known is not None
    assert known > 0.9


def test_what_is_no_better_is_refused_and_nothing_changes(
    folder: Path, state_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(adapt, "learn", lambda adapter, *rest: adapter)  # learns nothing
    assert execute(flags_of(folder, state_folder)) == 4
    out, err = capsys.readouterr()
    assert "refused, the model in use stays: " in err
    assert "on the new part accuracy does not rise" in err
    assert json.loads(out)["lesson"]["refused"] in err.strip()
    assert versions(State(state_folder), TASK) == []


def test_a_file_that_scores_otherwise_than_what_was_learnt_is_refused(
    folder: Path, state_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = FrozenModel.grafted

    def corrupt(self: FrozenModel, parts: Parts, adapter: Adapter, slope: float) -> Any:
        return right(self, parts, replace(adapter, bias=adapter.bias + np.array([0, 1], np.float32)), slope)

    monkeypatch.setattr(FrozenModel, "grafted", corrupt)
    lesson = continual(options_of(folder), silent)
    with pytest.raises(ModelError, match="golden vector"):
        install(State(state_folder).create(), TASK, "1+1", lambda into: lesson.write(into, "1+1").to_json())
    assert versions(State(state_folder), TASK) == []


def test_an_adapter_begins_with_the_decisions_of_the_model_in_use(folder: Path) -> None:
    frozen, inspector = FrozenModel(folder / "taught"), open_inspector(folder / "taught")
    pictures = [read_picture(path) for path in sorted((folder / "flanges").glob("*/*.png"))[::8]]
    features = np.stack([frozen.features(pixels) for pixels in pictures])
    known = Samples(features, np.zeros(len(features), np.int64), np.arange(len(features)).astype(str))
    parts, adapter = frozen.begun(known)
    called = adapter.logits(parts.spread(known).features).argmax(axis=1) == 1
    assert called.tolist() == [inspector.inspect(pixels).quality <= 0.95 for pixels in pictures]


def test_a_model_that_remembers_nothing_asks_for_pictures(folder: Path) -> None:
    with pytest.raises(adapt.InputError, match="--known-good and --known-bad"):
        continual(options_of(folder, known_good=[], known_bad=[]), silent)


def test_a_model_without_pooled_features_is_refused_with_the_way_out(tmp_path: Path) -> None:
    import onnx

    # What is taught on good parts alone has no more in its file than this: its places, and no whole.
    with pytest.raises(ModelError, match="teach it with --bad pictures too"):
        _stripped(onnx.load(str(BACKBONE)), tmp_path / "model.onnx")


def test_a_model_of_boards_is_refused(folder: Path) -> None:
    from apps.manufacturing.inspection.train import BOARDS

    with pytest.raises(ModelError, match="only models of parts learn on"):
        continual(options_of(folder, model=BOARDS), silent)
