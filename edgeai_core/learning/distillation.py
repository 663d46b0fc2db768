"""Distillation: a small network learns from the labels and from what a large one thinks of every example.

Source: G. Hinton et al., Distilling the Knowledge in a Neural Network, 2015. Needs torch (extra ``train``).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgeai_core.errors import InputError

TEMPERATURE = 3.0
ALPHA = 0.1


@dataclass(frozen=True)
class Distillation:
    """loss = alpha * hard + (1 - alpha) * soft [+ features * mean squared difference of features].

    ``hard`` is the cross-entropy with the labels. ``soft`` is the Kullback-Leibler divergence of the student's
    shares from the teacher's, both at ``temperature``, times temperature squared, which keeps the size of its
    gradient (section 2.1 of the paper). ``features`` weighs how far the student's features, projected by a
    ``FeatureMatch``, lie from the teacher's (A. Romero et al., FitNets, ICLR 2015); 0: they are not looked at.
    """

    temperature: float = TEMPERATURE
    alpha: float = ALPHA
    features: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.temperature < 1e3:
            raise InputError(f"the temperature of a distillation must be above 0, not {self.temperature}")
        if not 0 <= self.alpha <= 1:
            raise InputError(f"alpha weighs labels against the teacher, from 0 to 1, not {self.alpha}")
        if not 0 <= self.features < 1e6:
            raise InputError(f"the weight of features cannot be {self.features}")

    def loss(
        self,
        student: Tensor,
        teacher: Tensor,
        labels: Tensor,
        *,
        class_weights: Tensor | None = None,
        matched: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return the mean loss of a batch.

        ``student``, ``teacher``: logits (n, classes). ``labels``: class numbers (n,), or shares (n, classes).
        ``class_weights``, (classes,), count in the hard part alone: the teacher knows the classes' sizes.
        ``matched``: the student's projected features and the teacher's, (n, features).
        """
        if student.shape != teacher.shape:
            raise InputError(
                f"student and teacher give {tuple(student.shape)} and {tuple(teacher.shape)}: they must share classes"
            )
        hard = nn.functional.cross_entropy(student, labels, weight=class_weights)
        total = self.alpha * hard + (1 - self.alpha) * self.soft(student, teacher)
        if self.features and matched is not None:
            total = total + self.features * nn.functional.mse_loss(*matched)
        return total

    def soft(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the teacher's part of the loss, of logits (n, classes)."""
        wanted = torch.log_softmax(teacher.detach() / self.temperature, dim=1)
        given = torch.log_softmax(student / self.temperature, dim=1)
        divergence = nn.functional.kl_div(given, wanted, reduction="batchmean", log_target=True)
        return divergence * self.temperature**2


class FeatureMatch(nn.Module):
    """Projects a student's features onto a teacher's; learned with the student, thrown away afterwards."""

    def __init__(self, student: int, teacher: int) -> None:
        super().__init__()
        self.project = nn.Linear(student, teacher)

    def forward(self, features: Tensor) -> Tensor:
        """(n, student) -> (n, teacher)."""
        projected: Tensor = self.project(features)
        return projected
