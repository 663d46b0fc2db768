"""Distillation: the loss is the published one, and a student comes nearer to its teacher by it."""

from __future__ import annotations

import numpy as np
import pytest

from edgeai_core.errors import InputError

torch = pytest.importorskip("torch", reason="needs the extra `train`", exc_type=ImportError)

from edgeai_core.learning.distillation import Distillation, FeatureMatch  # noqa: E402


def test_the_loss_is_alpha_of_the_labels_and_the_rest_of_the_teacher() -> None:
    student, teacher = np.array([[1.0, 0.0, -1.0]]), np.array([[0.5, 2.0, -0.5]])

    def shares(logits: np.ndarray) -> np.ndarray:
        made: np.ndarray = np.exp(logits) / np.exp(logits).sum()
        return made

    p, q = shares(teacher / 3), shares(student / 3)
    by_hand = 0.1 * -np.log(shares(student)[0, 1]) + 0.9 * 9 * float((p * np.log(p / q)).sum())
    found = Distillation().loss(torch.tensor(student), torch.tensor(teacher), torch.tensor([1]))
    assert found.item() == pytest.approx(by_hand, rel=1e-6)


def test_a_student_that_agrees_with_its_teacher_has_nothing_to_learn_from_it() -> None:
    logits = torch.randn(4, 3)
    assert Distillation().soft(logits, logits).item() == pytest.approx(0.0, abs=1e-6)
    assert Distillation().soft(logits, logits + 5.0).item() == pytest.approx(
        0.0, abs=1e-5
    )  # shares, not logits


def test_no_gradient_reaches_the_teacher() -> None:
    teacher = torch.randn(4, 3, requires_grad=True)
    student = torch.randn(4, 3, requires_grad=True)
    Distillation(alpha=0.0).loss(student, teacher, torch.zeros(4, dtype=torch.long)).backward()
    assert teacher.grad is None
    assert student.grad is not None


def test_features_pull_where_they_are_asked_to() -> None:
    match = FeatureMatch(3, 5)
    ours, theirs, logits = torch.randn(2, 3), torch.randn(2, 5), torch.zeros(2, 2)
    labels = torch.zeros(2, dtype=torch.long)
    plain = Distillation().loss(logits, logits, labels, matched=(match(ours), theirs))
    pulled = Distillation(features=1.0).loss(logits, logits, labels, matched=(match(ours), theirs))
    assert (pulled - plain).item() == pytest.approx(((match(ours) - theirs) ** 2).mean().item(), rel=1e-5)


def test_other_classes_than_the_teachers_are_refused() -> None:
    with pytest.raises(InputError, match="share classes"):
        Distillation().loss(torch.zeros(1, 2), torch.zeros(1, 3), torch.zeros(1, dtype=torch.long))


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"alpha": 1.5}, {"features": -1.0}])
def test_options_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Distillation(**wrong)
