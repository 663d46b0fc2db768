"""Networks that are known by their papers, written out: MobileNetV2, EfficientNet-B0, ResNet-50, a small 1-D network.

Weights are drawn at random (``torch.manual_seed`` fixes them); learned ones for 1000 classes do not come with the
project. Needs torch (extra ``train``).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from edgeai_core.errors import InputError


class MobileNetV2(nn.Module):
    """(n, channels, side, side) float -> logits (n, classes); ``width`` multiplies the channels of every layer.

    3,504,872 parameters for 1000 classes at width 1. The head is global pooling, dropout 0.2 and one linear layer;
    the softmax is left to the loss.
    Source: M. Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018, table 2.
    """

    stages = (
        # expansion, channels out, repeats, stride of the first
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )

    def __init__(
        self, classes: int = 1000, *, width: float = 1.0, channels: int = 3, dropout: float = 0.2
    ) -> None:
        super().__init__()
        _check(classes, width)
        inputs = _divisible(32 * width)
        layers: list[nn.Module] = [_unit(channels, inputs, 3, 2, active=nn.ReLU6)]
        for expansion, plain, repeats, first in self.stages:
            outputs = _divisible(plain * width)
            for place in range(repeats):
                stride = first if place == 0 else 1
                layers.append(_InvertedResidual(inputs, outputs, 3, stride, expansion, nn.ReLU6))
                inputs = outputs
        # The last layer does not shrink with the width (section 4.1 of the paper's implementation).
        self.features_out = _divisible(1280 * max(1.0, width))
        layers.append(_unit(inputs, self.features_out, 1, 1, active=nn.ReLU6))
        self.layers = nn.Sequential(*layers)
        self.drop = nn.Dropout(dropout)
        self.classify = nn.Linear(self.features_out, classes)
        _draw(self)

    def features(self, image: Tensor) -> Tensor:
        """Return what the head sees, (n, ``features_out``)."""
        places: Tensor = self.layers(image)
        return places.mean(dim=(2, 3))

    def forward(self, image: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.classify(self.drop(self.features(image)))
        return logits


class EfficientNetB0(nn.Module):
    """(n, channels, side, side) float -> logits (n, classes). 5,288,548 parameters for 1000 classes.

    Source: M. Tan and Q. Le, EfficientNet: Rethinking Model Scaling for CNNs, ICML 2019, table 1; whole residual
    branches are dropped in training with a probability that rises to 0.2 (G. Huang et al., stochastic depth, 2016).
    """

    stages = (
        # expansion, kernel, stride of the first, channels out, repeats
        (1, 3, 1, 16, 1),
        (6, 3, 2, 24, 2),
        (6, 5, 2, 40, 2),
        (6, 3, 2, 80, 3),
        (6, 5, 1, 112, 3),
        (6, 5, 2, 192, 4),
        (6, 3, 1, 320, 1),
    )

    def __init__(
        self, classes: int = 1000, *, channels: int = 3, dropout: float = 0.2, skip: float = 0.2
    ) -> None:
        super().__init__()
        _check(classes, 1.0)
        layers: list[nn.Module] = [_unit(channels, 32, 3, 2, active=nn.SiLU)]
        inputs, number, blocks = 32, 0, sum(stage[-1] for stage in self.stages)
        for expansion, kernel, first, outputs, repeats in self.stages:
            for place in range(repeats):
                stride = first if place == 0 else 1
                block = _InvertedResidual(
                    inputs, outputs, kernel, stride, expansion, nn.SiLU,
                    squeeze=max(1, inputs // 4), skip=skip * number / blocks,
                )  # fmt: skip
                layers.append(block)
                inputs, number = outputs, number + 1
        self.features_out = 1280
        layers.append(_unit(inputs, self.features_out, 1, 1, active=nn.SiLU))
        self.layers = nn.Sequential(*layers)
        self.drop = nn.Dropout(dropout)
        self.classify = nn.Linear(self.features_out, classes)
        _draw(self)

    def features(self, image: Tensor) -> Tensor:
        """Return what the head sees, (n, 1280)."""
        places: Tensor = self.layers(image)
        return places.mean(dim=(2, 3))

    def forward(self, image: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.classify(self.drop(self.features(image)))
        return logits


class ResNet50(nn.Module):
    """(n, channels, side, side) float -> logits (n, classes). 25,557,032 parameters for 1000 classes.

    Source: K. He et al., Deep Residual Learning for Image Recognition, CVPR 2016, table 1, with the stride in the
    3 x 3 convolution of a bottleneck (P. Goyal et al., Accurate, Large Minibatch SGD, 2017), as is usual now.
    """

    def __init__(self, classes: int = 1000, *, channels: int = 3) -> None:
        super().__init__()
        _check(classes, 1.0)
        layers: list[nn.Module] = [_unit(channels, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
        inputs = 64
        for inner, repeats, first in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            for place in range(repeats):
                layers.append(_Bottleneck(inputs, inner, first if place == 0 else 1))
                inputs = inner * _Bottleneck.widening
        self.features_out = inputs
        self.layers = nn.Sequential(*layers)
        self.classify = nn.Linear(inputs, classes)
        _draw(self)

    def features(self, image: Tensor) -> Tensor:
        """Return what the head sees, (n, 2048)."""
        places: Tensor = self.layers(image)
        return places.mean(dim=(2, 3))

    def forward(self, image: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.classify(self.features(image))
        return logits


class TinyNet1d(nn.Module):
    """(n, channels, samples) float -> logits (n, classes): a signal's window, for the smallest devices.

    Five depthwise-separable convolutions, each halving the rate (A. Howard et al., MobileNets, 2017, in one
    dimension), then mean and maximum over time. ``width`` is the channels of the first; they double twice.
    """

    def __init__(self, classes: int, *, channels: int = 1, width: int = 16, dropout: float = 0.2) -> None:
        super().__init__()
        _check(classes, width)
        widths = (width, width, 2 * width, 2 * width, 4 * width)
        layers: list[nn.Module] = []
        inputs = channels
        for number, outputs in enumerate(widths):
            groups = inputs if number else 1
            middle = inputs if number else outputs
            layers += [
                nn.Conv1d(inputs, middle, 7, 2, 3, groups=groups, bias=False), nn.BatchNorm1d(middle), nn.ReLU(),
            ]  # fmt: skip
            if number:
                layers += [nn.Conv1d(middle, outputs, 1, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()]
            inputs = outputs
        self.layers = nn.Sequential(*layers)
        self.features_out = 2 * inputs
        self.drop = nn.Dropout(dropout)
        self.classify = nn.Linear(self.features_out, classes)

    def features(self, signal: Tensor) -> Tensor:
        """Return what the head sees, (n, ``features_out``)."""
        waves: Tensor = self.layers(signal)
        return torch.cat([waves.mean(dim=2), waves.amax(dim=2)], dim=1)

    def forward(self, signal: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.classify(self.drop(self.features(signal)))
        return logits


def parameters_of(network: nn.Module) -> int:
    """Return how many numbers the network learns."""
    return sum(parameter.numel() for parameter in network.parameters())


class _InvertedResidual(nn.Module):
    """Widen, look around channel by channel, weigh the channels (``squeeze``), narrow; the input joins if it fits."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int,
        expansion: int,
        active: Callable[[], nn.Module],
        *,
        squeeze: int = 0,
        skip: float = 0.0,
    ) -> None:
        super().__init__()
        inner = inputs * expansion
        layers: list[nn.Module] = [_unit(inputs, inner, 1, 1, active=active)] if expansion > 1 else []
        layers.append(_unit(inner, inner, kernel, stride, groups=inner, active=active))
        if squeeze:
            layers.append(_Squeeze(inner, squeeze))
        layers.append(_unit(inner, outputs, 1, 1, active=None))
        self.layers = nn.Sequential(*layers)
        self.joins = stride == 1 and inputs == outputs
        self.skip = skip

    def forward(self, value: Tensor) -> Tensor:
        result: Tensor = self.layers(value)
        if not self.joins:
            return result
        if self.training and self.skip:
            kept = torch.rand(len(value), 1, 1, 1, device=value.device) >= self.skip
            result = result * kept / (1 - self.skip)
        return value + result


class _Squeeze(nn.Module):
    """Squeeze and excitation: J. Hu et al., CVPR 2018."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.Conv2d(channels, inner, 1), nn.SiLU(), nn.Conv2d(inner, channels, 1), nn.Sigmoid()
        )

    def forward(self, value: Tensor) -> Tensor:
        weight: Tensor = self.weigh(value.mean(dim=(2, 3), keepdim=True))
        return value * weight


class _Bottleneck(nn.Module):
    """Narrow, look around, widen; the input joins, projected where shapes differ."""

    widening = 4

    def __init__(self, inputs: int, inner: int, stride: int) -> None:
        super().__init__()
        outputs = inner * self.widening
        self.layers = nn.Sequential(
            _unit(inputs, inner, 1, 1),
            _unit(inner, inner, 3, stride),
            _unit(inner, outputs, 1, 1, active=None),
        )
        same = stride == 1 and inputs == outputs
        self.shortcut: nn.Module = nn.Identity() if same else _unit(inputs, outputs, 1, stride, active=None)

    def forward(self, value: Tensor) -> Tensor:
        return torch.relu(self.layers(value) + self.shortcut(value))


def _unit(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int,
    *,
    groups: int = 1,
    active: Callable[[], nn.Module] | None = nn.ReLU,
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    if active is not None:
        layers.append(active())
    return nn.Sequential(*layers)


def _divisible(channels: float, by: int = 8) -> int:
    """Round to a multiple of ``by``, but never down by more than a tenth, as the paper's implementation does."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded


def _draw(network: nn.Module) -> None:
    """Draw the weights: K. He et al., Delving Deep into Rectifiers, 2015 (by outputs); the head small."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
            nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01)
            nn.init.zeros_(module.bias)


def _check(classes: int, width: float) -> None:
    if classes < 1:
        raise InputError(f"a network needs at least one class, not {classes}")
    if not 0 < width < 1e4:
        raise InputError(f"a network's width must be above 0, not {width}")
