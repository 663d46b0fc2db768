"""The small road detector, for training: convolutions, a feature pyramid, and an anchor-free head.

Needs torch (extra ``train``); what runs on a device is the ONNX file made from it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CLASSES = ("car", "truck", "pedestrian", "cyclist")
STRIDES = (8, 16, 32)
WIDTHS = (12, 20, 40, 80, 112)
NECK = 40


class RoadDetector(nn.Module):
    """(batch, 3, rows, columns) blue, green, red from 0 to 255 -> (batch, 4 + classes, cells).

    A cell gives the middle, width and height of a box in pixels of the input, and a score for each class: the
    layout of YOLOv8 (Jocher et al., 2023), in the cells' order of strides 8, 16 and 32, row by row.
    """

    def __init__(self, rows: int = 192, columns: int = 320) -> None:
        super().__init__()
        a, b, c, d, e = WIDTHS
        self.stem = nn.Sequential(_conv(3, a, 3, 2), _conv(a, b, 3, 2))
        self.eighth = nn.Sequential(_conv(b, c, 3, 2), Split(c, 1))
        self.sixteenth = nn.Sequential(_conv(c, d, 3, 2), Split(d, 2))
        self.last = nn.Sequential(_conv(d, e, 3, 2), Split(e, 1), Pooled(e))
        self.lateral = nn.ModuleList(_conv(width, NECK, 1, 1) for width in (c, d, e))
        self.merge = nn.ModuleList(Split(NECK, 1) for _ in range(2))
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.boxes = nn.ModuleList(
            nn.Sequential(_conv(NECK, NECK, 3, 1), nn.Conv2d(NECK, 4, 1)) for _ in STRIDES
        )
        self.scores = nn.ModuleList(
            nn.Sequential(_conv(NECK, NECK, 3, 1), nn.Conv2d(NECK, len(CLASSES), 1)) for _ in STRIDES
        )
        for head in self.scores:
            nn.init.constant_(head[-1].bias, -4.6)  # one in a hundred, as Lin et al. (2017) begin
        middles, strides = cells(rows, columns)
        self.register_buffer("middles", middles, persistent=False)
        self.register_buffer("strides", strides, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return boxes and scores of every cell."""
        distances, logits = self.raw(images)
        low, high = self.middles - distances[:, :2], self.middles + distances[:, 2:]
        return torch.cat([(low + high) / 2, high - low, torch.sigmoid(logits)], dim=1)

    def raw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return distances to left, top, right, bottom (batch, 4, cells) and logits (batch, classes, cells)."""
        x = self.stem(images / 255.0)
        eighth = self.eighth(x)
        sixteenth = self.sixteenth(eighth)
        last = self.lateral[2](self.last(sixteenth))
        middle = self.merge[1](self.lateral[1](sixteenth) + self.up(last))
        fine = self.merge[0](self.lateral[0](eighth) + self.up(middle))
        distances, logits = [], []
        for level, x in enumerate((fine, middle, last)):
            distances.append(self.boxes[level](x).flatten(2))
            logits.append(self.scores[level](x).flatten(2))
        far = torch.exp(torch.cat(distances, dim=2).clamp(-6, 6)) * self.strides
        return far, torch.cat(logits, dim=2)


def cells(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Return the middles of all cells in pixels, (2, cells), and their strides, (1, cells)."""
    middles, strides = [], []
    for stride in STRIDES:
        y, x = torch.meshgrid(torch.arange(rows // stride), torch.arange(columns // stride), indexing="ij")
        middles.append((torch.stack([x.flatten(), y.flatten()]) + 0.5) * stride)
        strides.append(torch.full((1, x.numel()), float(stride)))
    return torch.cat(middles, dim=1), torch.cat(strides, dim=1)


class Split(nn.Module):
    """Half of the channels go through residual steps, the other half past them (CSPNet, Wang et al., 2020)."""

    def __init__(self, width: int, steps: int) -> None:
        super().__init__()
        half = width // 2
        self.into = _conv(width, width, 1, 1)
        self.steps = nn.ModuleList(
            nn.Sequential(_conv(half, half, 3, 1), _conv(half, half, 3, 1)) for _ in range(steps)
        )
        self.out = _conv(width, width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return as many channels as came."""
        past, through = self.into(x).chunk(2, dim=1)
        for step in self.steps:
            through = through + step(through)
        return self.out(torch.cat([past, through], dim=1))


class Pooled(nn.Module):
    """Sees far: maxima over growing windows beside the features themselves (SPPF)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.into = _conv(width, width // 2, 1, 1)
        self.pool = nn.MaxPool2d(5, stride=1, padding=2)
        self.out = _conv(2 * width, width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return as many channels as came."""
        near = self.into(x)
        wide = self.pool(near)
        wider = self.pool(wide)
        return self.out(torch.cat([near, wide, wider, self.pool(wider)], dim=1))


def _conv(inputs: int, outputs: int, size: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03),
        nn.ReLU(inplace=True),
    )
