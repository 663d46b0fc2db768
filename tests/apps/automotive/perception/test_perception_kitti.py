"""KITTI's files in and out, and the whole evaluation on a made sequence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from apps.automotive.perception.box_tracker import BoxTracker
from apps.automotive.perception.evaluate import evaluate, scene, track
from apps.automotive.perception.kitti import picture_boxes, read_drives
from apps.automotive.perception.options import EvaluateOptions
from edgeai_core.errors import InputError

P2 = "P2: 721.5 0 609.6 44.9 0 721.5 172.9 0.2 0 0 1 0.003"


def made(folder: Path, frames: int = 30, gap: tuple[int, int] = (12, 14)) -> Path:
    """Two cars drive ahead, one unseen for two frames; a false box every tenth frame; one label occluded at first."""
    rng = np.random.default_rng(0)
    detections, labels = [], []
    for frame in range(frames):
        for number, (x, z) in enumerate([(2.0, 12 + 0.3 * frame), (-4.0, 30 - 0.2 * frame)]):
            u, tall = 609.6 + 721.5 * x / z, 721.5 * 1.5 / z
            pixels = f"{u - tall:.2f} {172.9:.2f} {u + tall:.2f} {172.9 + tall:.2f}"
            occluded = 3 if number == 1 and frame < 3 else 0
            labels.append(f"{frame} {number + 5} Car 0 {occluded} 0.0 {pixels} 1.5 1.7 4.2 {x} 1.6 {z} -1.57")
            if not (number == 0 and gap[0] <= frame < gap[1]):
                dx, dz = rng.normal(0, 0.1, 2)
                row = f"{frame},2,{pixels.replace(' ', ',')},9.0,1.5,1.7,4.2,{x + dx:.3f},1.6,{z + dz:.3f},-1.57,0.0"
                detections.append(row)
        if frame % 10 == 0:
            detections.append(f"{frame},2,900,150,990,230,0.5,1.5,1.6,4.0,{9 + frame},1.6,25,0.3,0.0")
    labels.append("0 -1 DontCare -1 -1 -10 0 0 10 10 -1000 -1000 -1000 -10 -1 -1 -1")
    for name, lines in (("detections", detections), ("label_02", labels), ("calib", [P2])):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "0001.txt").write_text("\n".join(lines) + "\n")
    identity = "1 0 0 0 0 1 0 0 0 0 1 0\n"
    (folder / "ego_poses").mkdir()
    (folder / "ego_poses" / "0001.txt").write_text(identity * frames)
    (folder / "sequences.txt").write_text(f"0001 {frames}\n")
    return folder


def test_the_whole_evaluation_on_a_made_sequence(tmp_path: Path) -> None:
    folder, out = made(tmp_path / "data"), tmp_path / "out"
    seen: list[str] = []
    options = EvaluateOptions(kitti=folder, results=out)
    result = evaluate(options, lambda what, done, total: seen.append(what))
    figures = result.to_json()["figures"]
    assert isinstance(figures, dict)
    assert set(figures) == {"samota", "amota", "amotp", "mota", "ids", "frames_per_second"}
    assert figures["mota"]["value"] > 0.95
    assert figures["ids"]["value"] == 0
    assert figures["mota"]["n"] == 57  # three of the sixty rows are occluded and do not count
    assert seen
    rows = [line.split() for line in (out / "0001.txt").read_text().splitlines()]
    assert {len(row) for row in rows} == {18}
    assert len({(row[0], row[1]) for row in rows}) == len(rows)
    # the car that was not detected in frames 12 and 13 is there all the same
    numbers = [
        {row[1] for row in rows if row[0] == str(frame) and abs(float(row[13]) - 2) < 0.6}
        for frame in range(10, 17)
    ]
    assert numbers == [numbers[0]] * 7


def test_standing_poses_change_nothing(tmp_path: Path) -> None:
    folder = made(tmp_path)
    (without,), (with_poses,) = read_drives(folder), read_drives(folder, poses=True)
    assert track(without).box == pytest.approx(track(with_poses).box)


def test_written_boxes_read_back_as_they_were(tmp_path: Path) -> None:
    folder = made(tmp_path / "data")
    (drive,) = read_drives(folder)
    evaluate(EvaluateOptions(kitti=folder, results=tmp_path / "out"), lambda *_: None)
    rows = np.array([line.split() for line in (tmp_path / "out" / "0001.txt").read_text().splitlines()])
    mine = track(drive)
    assert rows[:, 13].astype(float) == pytest.approx(-mine.box[:, 1], abs=1e-5)
    assert rows[:, 15].astype(float) == pytest.approx(mine.box[:, 0], abs=1e-5)
    assert rows[:, 14].astype(float) == pytest.approx(mine.box[:, 5] / 2 - mine.box[:, 2], abs=1e-5)


def test_a_confidence_means_the_same_however_often_it_is_averaged(tmp_path: Path) -> None:
    (drive,) = read_drives(made(tmp_path))
    result = track(drive)
    for number in np.unique(result.id):
        scores = result.score[result.id == number]
        assert sum(scores.tolist()) / len(scores) == scores[0]


def test_small_and_uncared_for_boxes_are_not_false(tmp_path: Path) -> None:
    (drive,) = read_drives(made(tmp_path))
    result = track(drive)
    result.image_px[0] = [0, 0, 9, 9]  # in the DontCare area of frame 0, and low
    laid = scene(drive, result)
    assert laid.track_ignored[0]
    assert laid.truth_ignored.sum() == 3


def test_boxes_stand_in_the_picture_where_pinhole_geometry_puts_them() -> None:
    projection = np.array([[700.0, 0, 600, 0], [0, 700, 180, 0], [0, 0, 1, 0]])
    boxes = np.array([[20.0, 0.0, 0.0, 0.001, 2.0, 1.0, 0.0], [20.0, 40.0, 0.0, 4.0, 2.0, 1.0, 0.0]])
    pixels, in_view = picture_boxes(projection, boxes)
    assert pixels[0] == pytest.approx([565, 162.5, 635, 197.5], abs=0.01)
    assert in_view.tolist() == [True, False]


def test_cars_do_not_stand_in_each_other() -> None:
    tracker = BoxTracker()
    box = np.array(
        [[10.0, 0, 0, 4, 1.8, 1.5, 0], [10.3, 0.4, 0, 4, 1.8, 1.5, 0.1], [20.0, 0, 0, 4, 1.8, 1.5, 0]]
    )
    given = tracker.step(0.0, box, np.array([9.0, 3.0, 8.0]))
    assert given.source.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("detections/0001.txt", "1,2,3\n", "has 3 columns, not 15"),
        ("detections/0001.txt", "0,2" + ",x" * 13 + "\n", "could not convert"),
        ("detections/0001.txt", "0,2" + ",nan" * 13 + "\n", "no finite numbers"),
        ("detections/0001.txt", "99,2" + ",1" * 13 + "\n", "frame 99 is beyond the 30 frames"),
        ("sequences.txt", "../../etc 5\n", "is no 'name frames'"),
        ("calib/0001.txt", "P0: 1 2 3\n", "no projection 'P2'"),
        ("label_02/0001.txt", "0 1 Car\n", "columns"),
    ],
)
def test_bad_files_are_named_with_what_is_wrong(tmp_path: Path, name: str, text: str, says: str) -> None:
    folder = made(tmp_path)
    (folder / name).write_text(text)
    with pytest.raises(InputError, match=says):
        read_drives(folder)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder 'detections'"):
        read_drives(tmp_path)
    folder = made(tmp_path / "data")
    (folder / "ego_poses" / "0001.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n")
    with pytest.raises(InputError, match="1 poses for 30 frames"):
        read_drives(folder, poses=True)
    (folder / "detections" / "0001.txt").unlink()
    with pytest.raises(InputError, match=r"0001\.txt"):
        read_drives(folder)


def test_detections_without_labels_give_tracks_and_speed_alone(tmp_path: Path) -> None:
    folder = made(tmp_path)
    (folder / "label_02" / "0001.txt").unlink()
    (folder / "detections" / "0001.txt").write_text("")
    result = evaluate(EvaluateOptions(kitti=folder), lambda *_: None)
    assert result.figures["samota"].value is None
    assert result.figures["frames_per_second"].value is not None
