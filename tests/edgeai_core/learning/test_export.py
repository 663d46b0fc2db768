"""Export to ONNX: what is written computes the same, or nothing is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx", reason="needs the extra `train`")

from edgeai_core.errors import InputError, ModelError  # noqa: E402
from edgeai_core.learning.export import export_onnx  # noqa: E402


class Twice(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return 2 * x, x.sum(1)


class Forgetful(torch.nn.Module):
    """Its trace holds the branch of the first example only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if float(x.sum()) > 0 else -x


def example(value: float, rows: int = 2) -> dict[str, np.ndarray]:
    return {"x": np.full((rows, 3), value, dtype=np.float32)}


def test_the_file_computes_what_the_network_does_at_any_free_length(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    free = {"x": {0: "rows"}, "double": {0: "rows"}, "total": {0: "rows"}}
    difference = export_onnx(Twice(), path, [example(1), example(3, rows=5)], ["double", "total"], free=free)
    assert difference == 0
    session = onnxruntime.InferenceSession(str(path))
    double, total = session.run(None, example(0.5, rows=7))
    assert (double == 1).all()
    assert total.tolist() == [1.5] * 7


def test_the_shapes_of_the_outputs_are_stated(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    export_onnx(
        Twice(), path, [example(1)], ["double", "total"], free={"x": {0: "rows"}, "double": {0: "rows"}}
    )
    shapes = [output.shape for output in onnxruntime.InferenceSession(str(path)).get_outputs()]
    assert shapes == [["rows", 3], [2]]


def test_a_file_that_disagrees_is_removed_and_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with pytest.raises(ModelError, match="differs from the network by 2"):
        export_onnx(Forgetful(), path, [example(1), example(-1)], ["y"])
    assert not path.exists()


def test_without_an_example_or_a_folder_nothing_is_tried(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one example"):
        export_onnx(Twice(), tmp_path / "m.onnx", [], ["double", "total"])
    with pytest.raises(InputError, match="no such folder"):
        export_onnx(Twice(), tmp_path / "absent" / "m.onnx", [example(1)], ["double", "total"])
