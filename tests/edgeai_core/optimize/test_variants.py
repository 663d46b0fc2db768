"""``edgeai model quantize``: a table, variants with cards that runners accept, and one line for bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeai_core.cli.main import execute
from edgeai_core.errors import InputError
from edgeai_core.optimize.samples import read_samples
from edgeai_core.runners.card import ModelCard, TensorSpec, card_path, digest_of, read_card, write_card
from edgeai_core.runners.onnx import OnnxRunner

Network = Callable[..., bytes]
Pictures = Callable[..., list[dict[str, np.ndarray]]]


@pytest.fixture
def model(tmp_path: Path, small_network: Network) -> Path:
    path = tmp_path / "small.onnx"
    path.write_bytes(small_network())
    card = ModelCard(
        name="small", version="1.0.0", task="test", file=path.name, digest=digest_of(path), licence="Apache-2.0",
        intended_use="A test.", limits=(), inputs=(TensorSpec("image", ("n", 3, 16, 16), "float32"),),
        outputs=(TensorSpec("logits", ("n", 5), "float32"),),
    )  # fmt: skip
    write_card(card, card_path(path))
    return path


@pytest.fixture
def data(tmp_path: Path, pictures: Pictures) -> Path:
    path = tmp_path / "samples.npz"
    np.savez(path, image=np.concatenate([each["image"] for each in pictures(32)]))
    return path


def test_a_kept_variant_has_a_card_that_says_what_it_comes_from(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code = execute(
        [
            "model",
            "quantize",
            str(model),
            "--data",
            str(data),
            "--out",
            str(out),
            "--kind",
            "float16",
            "--json",
        ]
    )
    told = json.loads(capsys.readouterr().out)
    assert code == 0
    (variant,) = told["variants"]
    assert variant["measured"]["size_bytes"] < told["source"]["size_bytes"]
    assert told["judged"] == told["calibrated"] == 16
    if not variant[
        "passed"
    ]:  # a machine so busy that the same time measured as slower: refused, with the reason
        assert "slower here" in variant["reasons"][0]
        return
    card = read_card(card_path(Path(variant["file"])))
    assert card.parameters["derived_from"] == read_card(card_path(model)).digest
    assert card.figures["agreement"].n == 16
    assert OnnxRunner(Path(variant["file"])).run({"image": np.zeros((1, 3, 16, 16), np.float32)})[
        "logits"
    ].shape == (1, 5)


def test_all_kinds_are_measured_or_say_why_not(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        execute(
            ["model", "quantize", str(model), "--data", str(data), "--out", str(tmp_path / "o"), "--json"]
        )
        == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert {each["name"] for each in told["variants"]} == {"float16", "int8-dynamic", "int8", "int8-litert"}
    for each in told["variants"]:
        assert each["passed"] or each["reasons"]
        assert (each["file"] is not None) == (each["name"] in told["kept"])


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"image": np.zeros((1, 3, 16, 16), np.float32)}, r"holds 1 sample\(s\)"),
        ({"image": np.zeros((0, 3, 16, 16), np.float32)}, r"holds 0 sample\(s\)"),
        ({"image": np.zeros((16, 4, 16, 16), np.float32)}, "the model takes"),
        ({"other": np.zeros((16, 3, 16, 16), np.float32), "x": np.zeros(16)}, "has no array for image"),
        ({"image": np.full((16, 3, 16, 16), np.nan, np.float32)}, "not a number"),
        ({"image": np.zeros((16, 3, 16, 16), np.float32), "labels": np.zeros(3, int)}, "labels must be"),
    ],
)
def test_samples_that_do_not_fit_are_refused_with_the_reason(
    arrays: dict[str, np.ndarray], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=said):
        read_samples(path, [TensorSpec("image", ("n", 3, 16, 16), "float32")])


def test_a_folder_of_pictures_becomes_samples_of_the_models_size(tmp_path: Path) -> None:
    import cv2

    for number in range(9):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((20, 30, 3), 10 * number, np.uint8))
    samples = read_samples(tmp_path, [TensorSpec("image", (1, 3, 16, 16), "float32")], mean=127, std=128)
    assert len(samples.calls) == 9
    np.testing.assert_allclose(
        samples.calls[3]["image"], np.full((1, 3, 16, 16), (30 - 127) / 128), atol=1e-4
    )
    with pytest.raises(InputError, match="so 8 are the"):
        read_samples(tmp_path, [TensorSpec("image", (1, 3, 16, 16), "float32")], limit=4)


def test_no_such_data_ends_with_one_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = execute(
        ["model", "quantize", str(model), "--data", str(tmp_path / "none"), "--out", str(tmp_path / "o")]
    )
    assert code == 3
    assert capsys.readouterr().err.count("\n") == 1
