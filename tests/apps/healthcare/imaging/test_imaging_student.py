"""A small network that learns from a large one: it follows its teacher, shows its evidence, and the app runs it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra train is not installed")
pytest.importorskip("onnx", reason="the extra train is not installed")

from apps.healthcare.imaging import student_training  # noqa: E402
from apps.healthcare.imaging.datasets import CLASSES, load  # noqa: E402
from apps.healthcare.imaging.export import write_model  # noqa: E402
from apps.healthcare.imaging.loop import NETWORKS, open_triage  # noqa: E402
from apps.healthcare.imaging.options import TrainOptions  # noqa: E402
from apps.healthcare.imaging.student_training import Shown, StudentNetwork, predict, teach  # noqa: E402
from apps.healthcare.imaging.train import train  # noqa: E402
from apps.healthcare.imaging.training import Recipe  # noqa: E402
from edgeai_core.errors import InputError  # noqa: E402
from edgeai_core.learning.distillation import Distillation  # noqa: E402
from edgeai_core.runners.card import card_path, read_card  # noqa: E402
from edgeai_core.runners.onnx import OnnxRunner  # noqa: E402
from tests.apps.healthcare.imaging.conftest import phantom, png  # noqa: E402


def silent(what: str, done: int, total: int) -> None:
    pass


def test_the_evidence_and_the_bias_make_up_the_logits() -> None:
    network = StudentNetwork(3).eval()
    with torch.no_grad():
        logits, evidence = network(torch.rand(2, 1, 224, 224))
    assert evidence.shape == (2, 3, 7, 7)
    assert torch.allclose(evidence.mean(dim=(2, 3)) + network.small.classify.bias, logits, atol=1e-5)


class _Tiny(torch.nn.Module):
    """In the place of the student, whose many layers take long to learn anything."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers = (torch.nn.AvgPool2d(8), torch.nn.Flatten(), torch.nn.BatchNorm1d(16))
        self.small = torch.nn.Sequential(*layers, torch.nn.Linear(16, classes))


@pytest.mark.parametrize(("how", "followed"), [(Distillation(), "the teacher"), (None, "the labels")])
def test_a_student_follows_its_teacher_where_the_labels_say_otherwise(
    how: Distillation | None, followed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(student_training, "StudentNetwork", _Tiny)
    bright = np.arange(64) % 2
    noise = np.random.default_rng(0).integers(0, 20, (2, 64, 32, 32))
    pictures = (20 + 200 * bright[None, :, None, None] + noise).astype(np.uint8)
    said = np.stack([-4.0 + 8 * (bright == 0), -4.0 + 8 * (bright == 1)], axis=1)
    kept, rows = Shown(pictures, np.stack([said, said]).astype(np.float32)), np.arange(64)
    network = teach(kept, 1 - bright, rows, "xray", Recipe(100, 0, 1), silent, "learning", how=how)
    wanted = bright if followed == "the teacher" else 1 - bright
    assert (predict(network, kept, rows).argmax(axis=1) == wanted).mean() > 0.9
    assert np.array_equal(student_training.teachers(kept, rows).argmax(axis=1), bright)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Twelve made films of two kinds, a third of them in the split val."""
    folder = tmp_path / "films"
    folder.mkdir()
    lines = ["file,label,patient,split"]
    for number in range(12):
        rng = np.random.default_rng(number)
        picture = phantom(seed=number)
        for _ in range(6):  # no two are alike
            centre, radius = rng.integers(40, 200, 2).tolist(), int(rng.integers(15, 50))
            cv2.circle(picture, centre, radius, int(rng.integers(256)), cv2.FILLED)
        (folder / f"{number}.png").write_bytes(png(picture))
        split = "val" if number % 3 == 0 else "train"
        lines.append(f"{number}.png,{CLASSES['xray'][number % 2]},p{number},{split}")
    (folder / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of the app's form, of random weights."""
    path = tmp_path_factory.mktemp("teacher") / "teacher.onnx"
    write_model(
        StudentNetwork(2).eval(), path, {"logits": (2,), "evidence": (2, 7, 7)}, name="teacher", version="1",
        intended_use="tests", limits=(), classes=CLASSES["xray"],
        parameters={"temperature": 1.0, "threshold": 0.5, "grey_low": 0.3, "grey_high": 0.7}, data=(), figures={},
        preprocessing="",
    )  # fmt: skip
    return path


def test_what_the_teacher_says_is_asked_once_and_kept(
    films: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load(films, "xray", silent)
    kept = student_training.features(teacher, dataset, 1, 0, tmp_path, silent)
    assert kept.shape == (3, 12, 112, 112)
    square = np.repeat(np.repeat(kept.some(np.array([0]), np.array([3])), 2, axis=2), 2, axis=3)
    told = OnnxRunner(teacher).run({"image": square})["logits"][0]
    assert kept.said[0, 3] == pytest.approx(told, abs=0.05)  # kept in 256 grey levels
    monkeypatch.setattr(student_training, "squares", None)  # nothing is shown to it again
    again = student_training.features(teacher, dataset, 1, 0, tmp_path, silent)
    assert np.array_equal(again.said, kept.said)


def test_training_with_a_teacher_writes_a_network_that_the_app_runs(
    films: Path, teacher: Path, tmp_path: Path
) -> None:
    options = TrainOptions(
        modality="xray", data=films, teacher=teacher, output=tmp_path, copies=1, epochs=1, threads=1
    )
    told = train(options, silent)
    path = Path(str(told["model"]))
    card = read_card(card_path(path))
    assert (path.name, card.name) == ("xray-small.onnx", "imaging-xray-small")
    assert card.parameters["derived_from"] == read_card(card_path(teacher)).digest
    assert "never saw val" in card.training_data[-1].split
    assert any("112 x 112" in each for each in card.limits)
    triage = open_triage({"xray": path})
    assert triage is not None


def test_a_teacher_is_no_use_without_films_that_it_did_not_see(films: Path, teacher: Path) -> None:
    table = films / "labels.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(",val", ",train"), encoding="utf-8")
    with pytest.raises(InputError, match="a split val that the other did not see"):
        train(TrainOptions(modality="xray", data=films, teacher=teacher), silent)


def test_a_teacher_of_another_modality_is_refused(films: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"calls no_tumor, glioma.*has normal, pneumonia"):
        student_training.features(NETWORKS["mri"], load(films, "xray", silent), 1, 0, tmp_path, silent)
