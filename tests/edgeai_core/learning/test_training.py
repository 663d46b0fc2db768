"""The training loop: it learns, stops in time, goes on after a break, and says when it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from edgeai_core.errors import EdgeAIError, InputError  # noqa: E402
from edgeai_core.learning.training import FitOptions, class_weights, fit  # noqa: E402

OPTIONS = FitOptions(epochs=6, steps_per_epoch=10, learning_rate=0.05, weight_decay=0.0, average=0.8, seed=3)


def line(epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(epoch)
    for _ in range(10):
        x = torch.rand(32, 1, generator=generator)
        yield x, 2 * x + 1


def squared(network: torch.nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return ((network(batch[0]) - batch[1]) ** 2).mean()


def silent(label: str, done: int, total: int) -> None:
    pass


def fresh() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Linear(1, 1)


def weights(network: torch.nn.Module) -> list[float]:
    return [float(p.detach()) for p in network.parameters()]


def test_the_loss_falls() -> None:
    history = fit(fresh(), line, squared, OPTIONS, silent)
    assert history.losses[-1] < history.losses[0] / 20


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second = fresh(), fresh()
    fit(first, line, squared, OPTIONS, silent)
    fit(second, line, squared, OPTIONS, silent)
    assert weights(first) == weights(second)


def test_the_weights_of_the_best_epoch_are_kept_and_it_stops_when_nothing_gets_better() -> None:
    figures = iter([0.5, 0.2, 0.3, 0.4, 0.1])
    kept: list[list[float]] = []

    def validate(network: torch.nn.Module) -> float:
        kept.append(weights(network))
        return next(figures)

    network = fresh()
    options = FitOptions(**{**OPTIONS.__dict__, "patience": 2})
    history = fit(network, line, squared, options, silent, validate=validate)
    assert history.validations == (0.5, 0.2, 0.3, 0.4)
    assert history.best_epoch == 1
    assert weights(network) == kept[1]


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole = fresh()
    fit(whole, line, squared, OPTIONS, silent)

    class Interrupted(Exception):
        pass

    def interrupt(label: str, done: int, total: int) -> None:
        if done == 35:
            raise Interrupted

    path = tmp_path / "run.npz"
    with pytest.raises(Interrupted):
        fit(fresh(), line, squared, OPTIONS, interrupt, checkpoint=path)
    steps: list[int] = []
    resumed = fresh()
    fit(resumed, line, squared, OPTIONS, lambda label, done, total: steps.append(done), checkpoint=path)
    assert steps[0] == 31
    assert weights(resumed) == weights(whole)


def test_a_checkpoint_of_other_options_or_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    fit(fresh(), line, squared, OPTIONS, silent, checkpoint=path, fingerprint="these")
    with pytest.raises(InputError, match=r"run\.npz.*another training"):
        fit(fresh(), line, squared, OPTIONS, silent, checkpoint=path, fingerprint="those")


def test_a_loss_that_is_no_number_ends_the_training_with_a_reason() -> None:
    with pytest.raises(EdgeAIError, match="loss became nan in epoch 1"):
        fit(fresh(), line, lambda network, batch: network(batch[0]).mean() * float("nan"), OPTIONS, silent)


def test_without_batches_it_says_so() -> None:
    with pytest.raises(InputError, match="no batch"):
        fit(fresh(), lambda epoch: [], squared, OPTIONS, silent)


def test_class_weights_even_out_the_classes() -> None:
    weights = class_weights([90, 10, 0])
    assert weights[2] == 0
    assert weights[0] * 90 == pytest.approx(weights[1] * 10)
    assert (weights * np.array([90, 10, 0])).sum() / 100 == pytest.approx(1)


@pytest.mark.parametrize("counts", [[], [0, 0], [-1, 2]])
def test_class_weights_refuse_counts_that_cannot_be(counts: list[int]) -> None:
    with pytest.raises(InputError):
        class_weights(counts)
