"""Cards: what is written is read back; what is wrong is refused with file and field."""

from __future__ import annotations

import re
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeai_core.errors import ModelError
from edgeai_core.metrics.evaluation import Figure
from edgeai_core.runners.card import (
    MAX_CARD_BYTES,
    CardFigure,
    Golden,
    ModelCard,
    TrainingData,
    card_path,
    digest_of,
    read_card,
    write_card,
)


@pytest.fixture
def full(toy: Any) -> ModelCard:
    """A card in which every field says something."""
    card: ModelCard = toy.card(
        parameters={"temperature": 1.5, "votes": 3, "limits": [0.25, 0.75], "mode": "strict", "pooled": True},
        golden=Golden("scores.golden.npz", "ab" * 32, 1e-5, 0.0),
        training_data=(TrainingData("Made rhythms", "edgeai", "Apache-2.0", "us", "by patient, 5 folds"),),
        figures={
            "sensitivity": CardFigure(0.98, 500, "edgeai evaluate toy.scores", 0.96, 0.99, note="pooled")
        },
    )
    return card


def test_a_card_is_read_back_as_it_was_written(full: ModelCard, tmp_path: Path) -> None:
    path = tmp_path / "new" / "scores.card.toml"
    write_card(full, path)
    assert read_card(path) == full
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_a_card_lies_beside_its_model_under_its_stem() -> None:
    assert card_path(Path("models/rhythm.v2.onnx")) == Path("models/rhythm.v2.card.toml")


def test_a_digest_is_the_files_sha256(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert digest_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('version = "1.0.0"', "version = 1.0", "version: Input should be a valid string"),
        ('name = "scores"', 'nmae = "scores"', "name: Field required"),
        ('task = "toy.scores"', 'task = " "', "task is empty"),
        ('licence = "Apache-2.0"\nintended', 'licence = ""\nintended', "licence is empty"),
        ('file = "scores.onnx"', 'file = "../scores.onnx"', "must be the bare name"),
        ('file = "scores.golden.npz"', 'file = "/etc/passwd"', "golden: golden.file"),
        ('digest = "', 'digest = "XX', "digest 'XX"),
        ('dtype = "float32"', 'dtype = "real"', "inputs.0.dtype: "),
        ('    "window",\n    8,', '    "window",\n    0,', "inputs.0: shape"),
        ('    "window",\n    8,', '    "window",\n    8.5,', "inputs.0.shape.1"),
        ('name = "gain"', 'name = "signal"', "each with a name of its own"),
        ('    "a",\n    "b"', '    "a",\n    "a"', "classes names one class twice"),
        ("temperature = 1.5", "temperature = nan", "parameters.temperature is nan"),
        ("temperature = 1.5", "temperature = { deep = 1 }", "parameters.temperature"),
        ("atol = 1e-05", "atol = -1.0", "golden.atol is -1.0"),
        ('origin = "edgeai"', 'origin = ""', "training_data.0: training data must state their origin"),
        ("value = 0.98", "value = inf", "figures.sensitivity: value is inf"),
        ("value = 0.98", "value = true", "figures.sensitivity.value"),
        ("n = 500", "n = 500\nsurprise = 1", "figures.sensitivity.surprise"),
    ],
)
def test_a_wrong_field_is_named_with_its_file(
    full: ModelCard, tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    path = tmp_path / "scores.card.toml"
    write_card(full, path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ModelError, match=f"^{re.escape(str(path))}: .*{re.escape(complaint)}"):
        read_card(path)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "is empty"),
        (b"name = ", "not valid TOML"),
        (b"\xff\xfe", "not valid TOML"),
        (b"a = " + b"[" * 5000, "not valid TOML"),
        (b"#" * (MAX_CARD_BYTES + 1), "larger than"),
    ],
)
def test_what_is_no_card_is_refused(tmp_path: Path, data: bytes, complaint: str) -> None:
    path = tmp_path / "bad.card.toml"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=complaint):
        read_card(path)


def test_a_card_that_is_missing_or_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        read_card(tmp_path / "none.card.toml")
    with pytest.raises(ModelError, match="is not a file"):
        read_card(tmp_path)


def test_a_card_that_cannot_be_written_leaves_the_old_one(full: ModelCard, tmp_path: Path) -> None:
    path = tmp_path / "scores.card.toml"
    write_card(full, path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot be written"):
        write_card(full, tmp_path / "file" / "scores.card.toml")
    with pytest.raises(TypeError):
        write_card(replace(full, parameters={"what": object()}), path)  # type: ignore[dict-item]
    assert read_card(path) == full


def test_a_number_is_read_or_its_absence_said(full: ModelCard) -> None:
    assert full.number("temperature") == 1.5
    assert full.number("votes") == 3.0
    for name in ("mode", "pooled", "limits", "absent"):
        with pytest.raises(ModelError, match=rf"scores 1\.0\.0: .* parameters\.{name}"):
            full.number(name)


def test_an_evaluated_figure_becomes_a_cards_with_its_command() -> None:
    figure = Figure.share(9, 10, "pooled")
    stated = CardFigure.of(figure, "edgeai evaluate toy.scores")
    assert (stated.value, stated.low, stated.high, stated.n) == (0.9, figure.low, figure.high, 10)
    assert (stated.unit, stated.note, stated.command) == ("1", "pooled", "edgeai evaluate toy.scores")
    with pytest.raises(ModelError, match="without a value"):
        CardFigure.of(Figure.share(0, 0), "edgeai evaluate toy.scores")
