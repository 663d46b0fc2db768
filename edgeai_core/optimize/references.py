"""Networks whose speed others have published, to compare this machine with theirs: right layers, random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeai_core.errors import ConfigError, MissingExtraError
from edgeai_core.runners.bare import bare_card
from edgeai_core.runners.card import card_path, write_card

REFERENCES = ("MobileNetV2", "EfficientNet-B0", "ResNet-50")
"""What a network costs depends on its layers, not on what their weights were taught."""

SIDE_PX = 224


def reference_model(name: str, folder: Path) -> Path:
    """Return the ONNX file of a reference network, with a bare card beside it; it is written where it is missing.

    One picture, ``image`` float32[1, 3, 224, 224], gives ``logits`` float32[1, 1000]. Raises MissingExtraError
    where it must be written and torch is not there.
    """
    if name not in REFERENCES:
        raise ConfigError(f"there is no reference network {name!r} (there are: {', '.join(REFERENCES)})")
    path = folder / f"{name}.onnx"
    if path.is_file() and card_path(path).is_file():
        return path
    try:
        import torch

        from edgeai_core.learning.architectures import EfficientNetB0, MobileNetV2, ResNet50
        from edgeai_core.learning.export import export_onnx
    except ImportError as error:
        raise MissingExtraError(
            f"{name} is made with torch, which does not import ({error}); pip install 'edgeai[train]'"
        ) from error
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    torch.manual_seed(0)
    network = {"MobileNetV2": MobileNetV2, "EfficientNet-B0": EfficientNetB0, "ResNet-50": ResNet50}[name]()
    picture = np.random.default_rng(0).standard_normal((1, 3, SIDE_PX, SIDE_PX)).astype(np.float32)
    written = folder / f".{name}.onnx"
    export_onnx(network, written, [{"image": picture}], ["logits"], tolerance=1e-2)
    written.replace(path)
    write_card(bare_card(path), card_path(path))
    return path
