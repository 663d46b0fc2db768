"""The page on models: its code runs as it is printed, in the order in which it is printed."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from edgeai_core.runners.card import CardFigure, Golden, ModelCard, TensorSpec, TrainingData, read_card

PAGE = Path(__file__).parents[3] / "docs" / "models.md"


def test_the_pages_code_runs_and_leaves_a_model_that_loads(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    toy.write()
    models = toy.folder / "models"
    models.mkdir()
    for path in (toy.path, toy.card_path):
        path.rename(models / path.name)
    monkeypatch.chdir(toy.folder)
    names = {"samples": [toy.inputs(n, n) for n in (1, 2, 3)], "reference": toy.reference}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    card = read_card(models / "scores.card.toml")
    assert card.number("threshold") == 0.62
    assert card.golden is not None
    assert names["report"].samples == 3  # type: ignore[attr-defined]


def test_the_page_names_every_field_of_a_card() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for part in (ModelCard, TensorSpec, Golden, TrainingData, CardFigure):
        for field in fields(part):
            assert f"`{field.name}`" in text or f"[{field.name}]" in text or f"[{field.name}." in text, (
                field.name
            )
