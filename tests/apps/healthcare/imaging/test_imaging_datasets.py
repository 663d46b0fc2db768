"""Labelled folders: what belongs together stays together, copies across splits are refused, figures are honest."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.healthcare.imaging.datasets import check_apart, join_look_alikes, load
from apps.healthcare.imaging.figures import Judgements, figures, macro_f1, rows
from edgeai_core.errors import InputError
from edgeai_core.metrics.curves import roc_auc
from tests.apps.healthcare.imaging.conftest import jpeg, png


def blot(seed: int) -> np.ndarray:
    """A picture that is like no other of another seed."""
    rng = np.random.default_rng(seed)
    return np.asarray(cv2.resize(rng.integers(0, 256, (7, 7)).astype(np.uint8), (120, 100)), np.uint8)


def folder(tmp_path: Path, table: str, *pictures: bytes) -> Path:
    for number, content in enumerate(pictures):
        (tmp_path / f"{number}.png").write_bytes(content)
    (tmp_path / "labels.csv").write_text(table)
    return tmp_path


def nothing(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def test_rows_that_share_a_patient_or_a_group_belong_together(tmp_path: Path) -> None:
    rows_of_table = ("0.png,normal,p1,", "1.png,PNEUMONIA,p1,g1", "2.png,bacteria,p2,g1", "3.png,normal,p3,")
    table = "\n".join(("file,label,patient,group", *rows_of_table))
    dataset = load(folder(tmp_path, table, *(png(blot(n)) for n in range(4))), "xray", nothing)
    groups = [item.group for item in dataset.items]
    assert groups[0] == groups[1] == groups[2] != groups[3]
    assert [item.label for item in dataset.items] == ["normal", "pneumonia", "pneumonia", "normal"]


def test_one_folder_per_class_also_below_train_and_test(tmp_path: Path) -> None:
    for place in ("Training/glioma_tumor", "Training/no_tumor", "Testing/pituitary"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "a.png").write_bytes(png(blot(len(place))))
    dataset = load(tmp_path, "mri", nothing)
    assert sorted((item.label, item.split) for item in dataset.items) == [
        ("glioma", "train"), ("no_tumor", "train"), ("pituitary", "test"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("file,label\n0.png,cat\n", "line 2: 'cat' is no class of xray"),
        ("file\n0.png\n", "columns file and label"),
        ("file,label\n../../etc/passwd,normal\n", "outside the folder"),
        ("file,label\nmissing.png,normal\n", "No such file"),
    ],
)
def test_a_wrong_table_is_refused_by_line_and_reason(tmp_path: Path, table: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        load(folder(tmp_path, table, png(blot(0))), "xray", nothing)


def test_an_empty_folder_says_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"labels\.csv, or folders named normal, pneumonia"):
        load(tmp_path, "xray", nothing)


def test_a_picture_that_cannot_be_read_is_told_of_and_the_others_are_used(tmp_path: Path) -> None:
    table = "file,label\n0.png,normal\n1.png,pneumonia\n"
    dataset = load(folder(tmp_path, table, png(blot(0)), b"<html>"), "xray", nothing)
    assert len(dataset.items) == 1
    assert dataset.unreadable[0].startswith("1.png: this is a web page")


@pytest.mark.parametrize("copy", ["exact", "compressed", "brighter"])
def test_a_copy_on_the_other_side_of_a_split_is_refused_and_within_one_side_joined(
    tmp_path: Path, copy: str
) -> None:
    picture = blot(3)
    copies = {
        "exact": png(picture),
        "compressed": jpeg(picture),
        "brighter": png(np.clip(picture * 1.15 + 5, 0, 255).astype(np.uint8)),
    }
    table = "file,label,split\n0.png,covid,train\n1.png,noncovid,train\n2.png,covid,val\n"
    place = folder(tmp_path, table, png(picture), png(blot(9)), copies[copy])
    with pytest.raises(InputError, match=r"duplicates across splits: 0\.png \(train\) and 2\.png \(val\)"):
        check_apart(load(place, "ct", nothing))
    (place / "labels.csv").write_text(table.replace("val", "train"))
    dataset = load(place, "ct", nothing)
    check_apart(dataset)
    first, other, twin = (item.group for item in join_look_alikes(dataset).items)
    assert first == twin != other


def judged(truth: list[int], ill: list[float], answered: list[bool] | None = None) -> Judgements:
    share = np.array(ill)
    return Judgements(
        np.array(truth),
        (share >= 0.5).astype(np.int64),
        np.column_stack([1 - share, share]),
        np.array(answered or [True] * len(truth)),
        [f"p{n}" for n in range(len(truth))],
        ("normal", "pneumonia"),
    )


def test_refusing_what_is_hard_flatters_no_figure_but_is_told() -> None:
    found = figures(judged([0, 0, 1, 1], [0.1, 0.9, 0.2, 0.8], [True, False, False, True]))
    assert found["accuracy"].value == 0.5
    assert found["refused_share"].value == 0.5
    assert found["accuracy_answered"].value == 1.0
    assert (found["sensitivity"].value, found["sensitivity"].n) == (0.5, 2)
    assert found["specificity"].value == 0.5


def test_rows_say_what_each_class_was_called() -> None:
    normal, ill = rows(judged([0, 0, 1], [0.1, 0.9, 0.2]))
    assert (normal["called normal"], normal["called pneumonia"]) == (1, 1)
    assert (ill["n"], ill["called normal"]) == (1, 1)


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=4, max_size=40))
def test_figures_lie_between_0_and_1_and_the_area_is_that_of_the_scores(
    pairs: list[tuple[int, float]],
) -> None:
    truth, ill = [p[0] for p in pairs], [p[1] for p in pairs]
    made = judged(truth, ill)
    assert 0 <= macro_f1(made.truth, made.called, 2) <= 1
    if 0 < sum(truth) < len(truth):
        assert roc_auc(truth, ill) == pytest.approx(roc_auc(made.truth, made.probabilities[:, 1]))
