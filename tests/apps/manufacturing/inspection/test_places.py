"""The classifier of places: what it learns from verdicts alone, from masks, and that it is written as it is taught."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from apps.manufacturing.inspection.graph import Graph, tensor
from apps.manufacturing.inspection.heads import NEAR, fit_bank, fit_whitening
from apps.manufacturing.inspection.judge import fit_oddness
from apps.manufacturing.inspection.places import append_worst, fit_places, worst
from apps.manufacturing.inspection.texture import TEXTURE, texture

GRID, CHANNELS = 8, 12


def pictures(n: int, seed: int, marked: int) -> tuple[list[np.ndarray], np.ndarray, list[np.ndarray]]:
    """Made features: every second picture has ``marked`` places that stand out in two channels together."""
    random = np.random.default_rng(seed)
    labels = (np.arange(n) % 2).astype(np.int64)
    local, masks = [], []
    for bad in labels:
        places = random.normal(0, 1, (GRID * GRID, CHANNELS)).astype(np.float32)
        mask = np.zeros(GRID * GRID, np.float32)
        if bad:
            at = random.choice(GRID * GRID, marked, replace=False)
            places[at, 2] += 4
            places[at, 5] -= 4
            mask[at] = 1
        local.append(places.reshape(GRID, GRID, CHANNELS))
        masks.append(mask.reshape(GRID, GRID))
    return local, labels, masks


def test_verdicts_alone_teach_which_pictures_are_bad_and_where() -> None:
    local, labels, _ = pictures(60, 0, 6)
    model = fit_places(local, labels, [None] * 60, 0)
    unseen, truth, masks = pictures(40, 1, 6)
    heat = model.heat(np.stack(unseen))
    score = worst(heat)
    assert score[truth == 1].min() > score[truth == 0].max()
    there = np.stack(masks) == 1
    assert heat[there].mean() > heat[~there].mean() + 2


def test_masks_find_single_places_that_verdicts_on_few_pictures_do_not_teach() -> None:
    local, labels, masks = pictures(16, 2, 1)
    unseen, truth, there = pictures(60, 3, 1)
    with_masks = fit_places(local, labels, masks, 0).heat(np.stack(unseen))
    hottest = with_masks.reshape(60, -1).argmax(axis=1)
    marked = np.stack(there).reshape(60, -1).argmax(axis=1)
    assert (hottest == marked)[truth == 1].mean() > 0.9


def test_heat_and_score_are_the_same_in_the_file() -> None:
    local, labels, _ = pictures(20, 4, 6)
    model = fit_places(local, labels, [None] * 20, 0)
    graph = Graph()
    graph.node("Identity", model.append(graph, "local"), name="heat")
    graph.node("Identity", append_worst(graph, "heat"), name="score")
    made = graph.model(
        [tensor("local", "float32", ["n", GRID, GRID, CHANNELS])],
        [tensor("heat", "float32", ["n", GRID, GRID]), tensor("score", "float32", ["n"])],
        "places",
    )
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    heat, score = session.run(None, {"local": np.stack(local)})
    assert heat == pytest.approx(model.heat(np.stack(local)), abs=1e-4)
    assert score == pytest.approx(worst(heat), abs=1e-4)


def test_places_are_whitened_and_remembered_the_same_in_the_file() -> None:
    random = np.random.default_rng(5)
    mixed = random.normal(3, 1, (4000, 2 * NEAR)) @ random.normal(0, 1, (2 * NEAR, 2 * NEAR))
    whitening = fit_whitening(mixed.astype(np.float32))
    white = whitening(mixed.astype(np.float32))
    spreads = white.std(axis=0)
    assert np.abs(white.mean(axis=0)).max() < 0.02
    assert spreads.max() <= 1.01
    assert (np.diff(spreads) < 0.02).all()  # the noisy rest is kept small, not blown up
    pictures = mixed[: 4 * GRID**2].reshape(4, GRID, GRID, -1).astype(np.float32)
    bank = fit_bank(list(whitening(pictures)), 0)
    graph = Graph()
    graph.node("Identity", bank.append(graph, whitening.append(graph, "local")), name="heat")
    made = graph.model(
        [tensor("local", "float32", ["n", GRID, GRID, 2 * NEAR])],
        [tensor("heat", "float32", ["n", GRID, GRID])],
        "bank",
    )
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    (heat,) = session.run(None, {"local": pictures})
    assert heat == pytest.approx(bank.heat(whitening(pictures)), abs=0.02)


def test_a_line_a_spot_and_a_change_of_surface_each_make_texture_odd() -> None:
    random = np.random.default_rng(0)

    def plain() -> np.ndarray:
        return np.clip(random.normal(120, 6, (160, 120)), 0, 255).astype(np.uint8)

    oddness = fit_oddness(np.stack([texture(plain()) for _ in range(40)]))
    usual = np.quantile([oddness(texture(plain())[None])[0] for _ in range(20)], 0.95)
    line, spot, change = plain(), plain(), plain()
    line[40:110, 60] = 90
    spot[80:86, 60:66] = 60
    change[90:] = np.clip(random.normal(120, 20, (70, 120)), 0, 255)
    assert texture(line).shape == (TEXTURE,)
    for picture in (line, spot, change):
        assert oddness(texture(picture)[None])[0] > usual
