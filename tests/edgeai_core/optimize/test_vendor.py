"""Commands of others: what they are given, what is taken of them, what a user reads where they fail or are missing."""

from __future__ import annotations

import stat
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeai_core.errors import ModelError
from edgeai_core.optimize.vendor import convert_to_tflite
from edgeai_core.runners.bare import bare_card
from edgeai_core.runners.card import card_path, write_card
from edgeai_core.runners.model_file import ModelFile, read_model_file

from .conftest import Network, Pictures

_CONVERTER = """#!{python}
import sys
from pathlib import Path
import numpy as np
import onnx
argv = sys.argv[1:]
out = Path(argv[argv.index("-o") + 1])
out.mkdir()
model = onnx.load(argv[argv.index("-i") + 1])
sizes = [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim]
samples = np.load(argv[argv.index("-cind") + 2]).shape if "-cind" in argv else ()
(out / "small_float32.tflite").write_text(f"float of {{sizes}}")
if "-oiqt" in argv:
    (out / "small_integer_quant.tflite").write_text("half way")
    (out / "small_full_integer_quant.tflite").write_text(f"int8 of {{sizes}} by {{samples}}")
"""

Tool = Callable[[str], None]


@pytest.fixture
def model(small_network: Network, tmp_path: Path) -> ModelFile:
    """A model whose batch, height and width may vary."""
    path = tmp_path / "small.onnx"
    path.write_bytes(small_network(side="side"))
    write_card(bare_card(path), card_path(path))
    return read_model_file(path)


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """Writes an onnx2tf of one's own, alone on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def write(code: str) -> None:
        path = folder / "onnx2tf"
        path.write_text(code.format(python=sys.executable))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    return write


def test_a_converter_gets_a_model_of_the_samples_sizes_and_the_int8_file_is_taken(
    model: ModelFile, tool: Tool, pictures: Pictures
) -> None:
    tool(_CONVERTER)
    samples = [{name: array.astype(np.float32) for name, array in call.items()} for call in pictures(5)]
    shape = list(samples[0]["image"].shape)
    made = convert_to_tflite(model, samples).decode()
    assert made == f"int8 of {shape} by {(5, *shape[1:])}"


def test_without_samples_the_float_file_is_taken(small_network: Network, tmp_path: Path, tool: Tool) -> None:
    path = tmp_path / "fixed.onnx"
    path.write_bytes(small_network())
    write_card(bare_card(path), card_path(path))
    tool(_CONVERTER)
    assert convert_to_tflite(read_model_file(path), ()).decode() == "float of [1, 3, 16, 16]"


def test_a_converter_that_fails_or_is_missing_is_told_in_its_own_words(
    model: ModelFile, tool: Tool, pictures: Pictures
) -> None:
    with pytest.raises(ModelError, match=r"onnx2tf is not on the PATH .*pip install onnx2tf"):
        convert_to_tflite(model, pictures(2))
    tool(
        "#!{python}\nimport sys\nprint('ValueError: no such layer: Tilt', file=sys.stderr)\n"
        "print('RuntimeError: it failed', file=sys.stderr)\nsys.exit(3)\n"
    )
    with pytest.raises(ModelError, match=r"onnx2tf failed with exit code 3: ValueError: no such layer: Tilt"):
        convert_to_tflite(model, pictures(2))
    tool("#!{python}\n")
    with pytest.raises(ModelError, match="wrote none of"):
        convert_to_tflite(model, pictures(2))
