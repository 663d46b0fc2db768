"""Teaching from folders: what is written, what is proven, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from apps.manufacturing.inspection.evaluate import evaluate
from apps.manufacturing.inspection.examples import look_alikes, read_examples
from apps.manufacturing.inspection.figures import part_figures, smallest_claim
from apps.manufacturing.inspection.inspector import open_inspector
from apps.manufacturing.inspection.options import EvaluateOptions, TrainOptions
from apps.manufacturing.inspection.train import train
from apps.manufacturing.simulation.line import write_parts
from edgeai_core.errors import InputError
from edgeai_core.runners.card import read_card
from edgeai_core.sensors.picture import read_picture

GROUPS = "file,group\n"


def silent(what: str, done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("parts")
    write_parts(str(root), 16, 8, 5)
    names = [path.name for kind in ("good", "bad") for path in sorted((root / kind).iterdir())]
    for number, mask in enumerate(sorted((root / "masks").rglob("*.png"), key=lambda each: each.name)):
        kind = root / "two_kinds" / ("first", "second")[number % 2]
        kind.mkdir(parents=True, exist_ok=True)
        mask.rename(kind / mask.name)
    (root / "groups.csv").write_text(GROUPS + "".join(f"{name},{name[:-4]}\n" for name in names))
    return root


@pytest.fixture(scope="module")
def taught(folder: Path) -> tuple[Path, dict[str, object]]:
    options = TrainOptions(
        good=[folder / "good"], bad=[folder / "bad"], masks=[folder / "two_kinds"], groups=folder / "groups.csv",
        out=folder / "taught", size=64, folds=2, threads=1,
    )  # fmt: skip
    return folder / "taught", dict(train(options, silent))


def test_one_folder_holds_model_card_vectors_and_report(taught: tuple[Path, dict[str, object]]) -> None:
    model, written = taught
    assert {path.name for path in model.iterdir()} == {
        "model.onnx", "model.card.toml", "model.golden.npz", "report.html",
    }  # fmt: skip
    card = read_card(model / "model.card.toml")
    assert card.parameters["kind"] == "parts"
    assert card.golden is not None
    assert {"auc", "detection_rate", "false_reject_rate", "detection_at_0p1pct", "detection_at_1pct"} <= set(
        card.figures
    )
    assert isinstance(written["largest_difference_to_taught_score"], float)


def test_the_report_says_what_the_count_supports_and_fetches_nothing(
    taught: tuple[Path, dict[str, object]],
) -> None:
    page = (taught[0] / "report.html").read_text()
    assert "smallest claim" in page
    assert "about 3000 good parts" in page
    assert "Wilson" in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_taught_model_judges_pictures_of_any_size(
    taught: tuple[Path, dict[str, object]], folder: Path
) -> None:
    inspector = open_inspector(taught[0])
    picture = read_picture(next((folder / "good").iterdir()))
    found = inspector.inspect(np.asarray(cv2.resize(picture, (500, 300)), np.uint8))
    assert 0 <= found.quality <= 1
    assert found.heat.shape == (8, 8)
    colour = np.repeat(picture[..., None], 3, axis=2)
    assert inspector.inspect(colour).score == pytest.approx(inspector.inspect(picture).score, abs=0.1)


def test_what_was_never_seen_is_rejected_by_a_model_that_knows_defects(
    taught: tuple[Path, dict[str, object]],
) -> None:
    inspector = open_inspector(taught[0])
    noise = np.random.default_rng(0).integers(0, 255, (200, 200)).astype(np.uint8)
    stripes = np.tile(np.array([20, 20, 20, 235, 235, 235], np.uint8), (200, 40))
    assert [inspector.inspect(each).quality <= 0.95 for each in (noise, stripes)] == [True, True]


def test_sub_folders_of_masks_name_the_kinds_of_defects(
    taught: tuple[Path, dict[str, object]], folder: Path
) -> None:
    inspector = open_inspector(taught[0])
    assert inspector.card.classes == ("good", "first", "second")
    rejected = [inspector.inspect(read_picture(path)) for path in sorted((folder / "bad").iterdir())]
    kinds = {defect.kind for each in rejected for defect in each.defects}
    assert kinds
    assert kinds <= {"first", "second"}


def test_kinds_come_from_sub_folders_of_bad_pictures_or_from_several_folders(
    folder: Path, tmp_path: Path
) -> None:
    for number, path in enumerate(sorted((folder / "bad").iterdir())):
        kind = tmp_path / "bad" / ("dent", "scratch")[number % 2]
        kind.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, kind)
    below = read_examples([folder / "good"], [tmp_path / "bad"])
    several = read_examples([folder / "good"], [tmp_path / "bad" / "dent", tmp_path / "bad" / "scratch"])
    alone = read_examples([folder / "good"], [folder / "bad"])
    assert set(below.kinds) == set(several.kinds) == {"", "dent", "scratch"}
    assert set(alone.kinds) == {""}


def test_the_report_shows_how_the_probability_came_true(taught: tuple[Path, dict[str, object]]) -> None:
    assert "stated probability of a good part" in (taught[0] / "report.html").read_text()
    usual = read_card(taught[0] / "model.card.toml").parameters["quality_holds_at_share_of_bad"]
    assert isinstance(usual, float)
    assert 0 < usual < 1


def test_evaluate_gives_the_figures_it_promises(taught: tuple[Path, dict[str, object]], folder: Path) -> None:
    options = EvaluateOptions(
        model=taught[0], good=[folder / "good"], bad=[folder / "bad"], groups=folder / "groups.csv"
    )
    found = evaluate(options, silent)
    assert set(found.figures) == {
        "auc", "detection_rate", "false_reject_rate", "detection_at_0p1pct", "detection_at_1pct", "ms_per_image",
    }  # fmt: skip
    assert found.figures["detection_rate"].n == 8
    with pytest.raises(InputError, match="--model"):
        evaluate(EvaluateOptions(good=[folder / "good"]), silent)
    with pytest.raises(InputError, match="nothing to judge"):
        evaluate(EvaluateOptions(), silent)


def test_good_parts_alone_teach_a_one_class_model(folder: Path, tmp_path: Path) -> None:
    options = TrainOptions(
        good=[folder / "good"], groups=folder / "groups.csv", out=tmp_path, size=64, folds=2, threads=1
    )
    assert train(options, silent)["method"] == "one-class"
    assert read_card(tmp_path / "model.card.toml").parameters["method"] == "one-class"


def test_a_picture_in_both_folders_is_refused_with_its_names(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "bad", tmp_path / "bad")
    shutil.copy(folder / "good" / "good_0003.png", tmp_path / "bad" / "twin.png")
    with pytest.raises(InputError, match=r"good_0003\.png and .*twin\.png"):
        read_examples([folder / "good"], [tmp_path / "bad"])


def test_one_good_picture_is_too_few(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    shutil.copy(folder / "good" / "good_0000.png", tmp_path / "good")
    with pytest.raises(InputError, match="at least 8"):
        train(TrainOptions(good=[tmp_path / "good"], out=tmp_path / "out", size=64, threads=1), silent)


def test_a_damaged_picture_is_left_out_and_named_and_many_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "good", tmp_path / "good")
    (tmp_path / "good" / "a.png").write_bytes(b"broken")
    cv2.imwrite(str(tmp_path / "good" / "b.png"), np.zeros((40, 40), np.uint8))
    found = read_examples([tmp_path / "good"] * 2, [folder / "bad"])
    assert any("a.png" in each for each in found.unreadable)
    assert any("one grey" in each for each in found.unreadable)
    for number in range(6):
        (tmp_path / "good" / f"c{number}.png").write_bytes(b"broken")
    with pytest.raises(InputError, match="cannot be read"):
        read_examples([tmp_path / "good"], [])


def test_look_alikes_are_found_turned_and_mirrored_and_others_are_not() -> None:
    random = np.random.default_rng(0)
    pictures = [
        cv2.GaussianBlur(random.random((32, 32)).astype(np.float32) * 255, (0, 0), 1.0) for _ in range(12)
    ]
    more = [np.rot90(pictures[0]), pictures[1][:, ::-1], pictures[2] * 0.8 + 10]
    names = look_alikes(np.stack([*pictures, *more]).astype(np.float32))
    assert names[12] == names[0]
    assert names[13] == names[1]
    assert names[14] == names[2]
    assert len(set(names)) == 12


def test_the_smallest_claim_is_never_below_what_was_counted() -> None:
    assert smallest_claim(0, 3800) < 0.0011
    assert smallest_claim(0, 100) > 0.03
    figures = part_figures(np.array([0, 0, 1, 1]), np.array([0.0, 1.0, 2.0, 3.0]), list("abcd"), 1.5)
    assert figures["auc"].value == 1.0
    assert figures["detection_at_0p1pct"].note == "with 2 good pictures: above the worst of them"


def test_templates_need_pairs_or_a_taught_model_and_parts_need_good_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--template FILE"):
        train(TrainOptions(method="template", out=tmp_path), silent)
    with pytest.raises(InputError, match="--good"):
        train(TrainOptions(out=tmp_path), silent)
