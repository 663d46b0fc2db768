"""Boards against their template: defects drawn onto a made board are found, named and boxed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from apps.manufacturing.inspection.board_model import (
    Compared,
    board_graph,
    compare_all,
    compressed,
    counts,
    fit,
    overlaps,
)
from apps.manufacturing.inspection.boards import FEATURES, find_candidates
from apps.manufacturing.inspection.pairs import KINDS, read_pairs
from edgeai_core.errors import InputError

SIDE = 320
Picture = NDArray[np.uint8]


def template() -> Picture:
    """Tracks of dark copper on a bright board, 16 pixels wide and 16 apart, with pads between them."""
    board = np.full((SIDE, SIDE), 255, np.uint8)
    for top in range(24, SIDE - 24, 32):
        board[top : top + 16, 10 : SIDE - 10] = 0
    cv2.rectangle(board, (120, 100), (200, 180), 0, -1)
    return board


def damaged(kind: int, x: int, row: int) -> tuple[Picture, tuple[int, int, int, int]]:
    """Draw a defect of a type (1 to 6) on the track that begins at ``24 + 32 * row``; return board and box."""
    board, top = template(), 24 + 32 * row
    x1, y1, x2, y2 = {
        1: (x, top, x + 8, top + 16), 2: (x, top + 16, x + 6, top + 32), 3: (x, top, x + 9, top + 7),
        4: (x, top + 16, x + 7, top + 23), 5: (x, top + 20, x + 7, top + 27), 6: (x, top + 5, x + 6, top + 11),
    }[kind]  # fmt: skip
    board[y1:y2, x1:x2] = 255 if kind in (1, 3, 6) else 0
    return board, (x1 - 10, y1 - 10, x2 + 10, y2 + 10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("boards")
    number = 0
    for group in ("a", "b"):
        (root / group / group).mkdir(parents=True)
        (root / group / f"{group}_not").mkdir()
        for kind in range(1, 7):
            for x, row in ((30, 1), (230, 5), (60, 7)):
                board, box = damaged(kind, x + (7 if group == "b" else 0), row)
                board[5 : 5 + 2 * (number % 3), 5:8] = 0  # a speck that nobody labelled
                name = f"{number:03}"
                cv2.imwrite(str(root / group / group / f"{name}_temp.png"), template())
                cv2.imwrite(str(root / group / group / f"{name}_test.png"), board)
                (root / group / f"{group}_not" / f"{name}.txt").write_text(
                    f"{' '.join(map(str, box))} {kind}\n"
                )
                number += 1
    return root


@pytest.fixture(scope="module")
def compared(folder: Path) -> list[Compared]:
    return compare_all(read_pairs([folder]), (0,), 1, lambda *_: None, "")[0]


def test_a_board_like_its_template_has_no_candidates() -> None:
    assert len(find_candidates(template(), template())) == 0


def test_a_board_that_lies_a_little_off_is_laid_before_it_is_compared() -> None:
    board, box = damaged(1, 100, 5)
    shifted = np.roll(board, (2, -3), (0, 1))
    found = find_candidates(template(), shifted)
    near = overlaps(
        found.boxes + np.array([-10, -10, 10, 10]), np.array([box], np.float32) + np.array([-3, 2, -3, 2])
    )
    assert near.max() > 0.33


@pytest.mark.parametrize("kind", range(1, 7), ids=KINDS)
def test_each_kind_of_defect_is_a_candidate_also_through_jpeg(kind: int) -> None:
    board, box = damaged(kind, 60, 7)
    for first, second in ((template(), board), (compressed(template(), 60), compressed(board, 60))):
        found = find_candidates(first, second)
        assert overlaps(found.boxes + np.array([-10, -10, 10, 10]), np.array([box], np.float32)).max() > 0.33


def test_defects_are_named_on_boards_that_were_not_taught(compared: list[Compared]) -> None:
    taught = [each for each in compared if each.pair.group == "a"]
    model = fit(taught, 0, 1)
    hit, _, there = np.sum(
        [
            counts(model.detect(each.candidates).above(0.5), each.pair)
            for each in compared
            if each.pair.group == "b"
        ],
        axis=0,
    )
    assert hit >= 0.8 * there


def test_the_exported_forest_says_what_was_taught(compared: list[Compared]) -> None:
    import onnxruntime

    model = fit(compared, 0, 1)
    features = np.concatenate([each.candidates.features for each in compared])
    session = onnxruntime.InferenceSession(board_graph(model).SerializeToString())
    (shares,) = session.run(["shares"], {"features": features})
    assert features.shape[1] == len(FEATURES)
    assert np.abs(shares - model.shares(features)).max() < 1e-5


def test_another_board_and_a_blank_one_are_refused() -> None:
    with pytest.raises(InputError, match="one grey"):
        find_candidates(template(), np.full((SIDE, SIDE), 90, np.uint8))
    with pytest.raises(InputError, match="cannot be compared"):
        find_candidates(template(), template()[:-1])
    noise = np.where(np.random.default_rng(0).random((80, 80)) < 0.5, 0, 255).astype(np.uint8)
    other = cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    with pytest.raises(InputError, match="another board"):
        find_candidates(template(), np.asarray(other, np.uint8))


def test_pairs_without_template_or_boxes_are_refused_by_name(folder: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "x_test.png"), template())
    with pytest.raises(InputError, match="x_temp"):
        read_pairs([tmp_path])
    cv2.imwrite(str(tmp_path / "x_temp.png"), template())
    with pytest.raises(InputError, match="no box file"):
        read_pairs([tmp_path])
    (tmp_path / "x.txt").write_text("1 2 3\n")
    with pytest.raises(InputError, match=r"x\.txt:1"):
        read_pairs([tmp_path])
    (tmp_path / "split.txt").write_text("group/a/000.jpg group/a_not/000.txt\n")
    assert [pair.name for pair in read_pairs([folder], tmp_path / "split.txt")] == ["000"]
