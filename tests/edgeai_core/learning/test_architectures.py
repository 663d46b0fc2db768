"""Architectures: the networks of the papers, parameter by parameter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeai_core.errors import InputError

torch = pytest.importorskip("torch", reason="needs the extra `train`", exc_type=ImportError)

from edgeai_core.learning import architectures as known  # noqa: E402


@pytest.mark.parametrize(
    ("network", "published"),
    [(known.MobileNetV2, 3_504_872), (known.EfficientNetB0, 5_288_548), (known.ResNet50, 25_557_032)],
)
def test_a_network_for_1000_classes_has_the_published_number_of_parameters(
    network: type[torch.nn.Module], published: int
) -> None:
    assert known.parameters_of(network()) == published


@pytest.mark.parametrize(("width", "published"), [(0.75, 2_636_424), (0.5, 1_968_680), (0.35, 1_677_128)])
def test_a_narrower_mobilenet_keeps_its_last_layer_and_shrinks_the_rest(width: float, published: int) -> None:
    network = known.MobileNetV2(width=width)
    assert network.features_out == 1280
    assert known.parameters_of(network) == published


@pytest.mark.parametrize(
    "network",
    [
        known.MobileNetV2(4, width=0.35, channels=1), known.EfficientNetB0(4, channels=1),
        known.ResNet50(4, channels=1),
        known.TinyNet1d(4),
    ],
)  # fmt: skip
def test_a_batch_gives_logits_and_features_of_the_stated_width(network: torch.nn.Module) -> None:
    shape = (2, 1, 250) if isinstance(network, known.TinyNet1d) else (2, 1, 64, 64)
    given = torch.rand(shape)
    network.train()  # dropout and skipped branches run too
    assert network(given).shape == (2, 4)
    network.eval()
    assert network.features(given).shape == (2, network.features_out)
    assert torch.isfinite(network(given)).all()


@pytest.mark.parametrize(
    "network", [known.MobileNetV2(3, width=0.35), known.EfficientNetB0(3)], ids=["mobilenet", "efficientnet"]
)
def test_a_network_is_exported_as_it_computes(network: torch.nn.Module, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs the extra `train`")
    from edgeai_core.learning.export import export_onnx

    image = np.random.default_rng(0).random((1, 3, 64, 64), dtype=np.float32)
    assert export_onnx(network, tmp_path / "n.onnx", [{"image": image}], ["logits"]) < 1e-4


def test_what_cannot_be_a_network_is_refused() -> None:
    with pytest.raises(InputError, match="class"):
        known.MobileNetV2(0)
    with pytest.raises(InputError, match="width"):
        known.MobileNetV2(2, width=0.0)
