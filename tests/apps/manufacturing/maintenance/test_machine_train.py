"""Teaching and judging what is foretold of machines: what is written, which figures come, and the peers beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from apps.manufacturing.maintenance import engines as engines_module
from apps.manufacturing.maintenance import table as table_module
from apps.manufacturing.maintenance.evaluate import evaluate
from apps.manufacturing.maintenance.options import EvaluateOptions, TrainOptions
from apps.manufacturing.maintenance.train import train
from edgeai_core.errors import ConfigError, InputError
from edgeai_core.runners.card import read_card

ENGINES = 10


def silent(what: str, done: int, total: int) -> None:
    pass


def options(**given: object) -> TrainOptions:
    return TrainOptions.model_validate(given)


def asked(**given: object) -> EvaluateOptions:
    return EvaluateOptions.model_validate(given)


def engine_table(units: int, seed: int, *, whole: bool) -> tuple[str, list[int]]:
    """Made engines in the layout of C-MAPSS whose sensors rise towards the end; not ``whole``: cut off before it."""
    random = np.random.default_rng(seed)
    lines, left = [], []
    for unit in range(1, units + 1):
        life = int(random.integers(60, 110))
        shown = life if whole else int(life * random.uniform(0.5, 0.9))
        left.append(life - shown)
        for cycle in range(1, shown + 1):
            wear = np.exp(-(life - cycle) / 25)
            sensors = random.normal(0, 0.05, 21) + np.linspace(0.5, 1.5, 21) * wear
            lines.append(" ".join(f"{value:.4f}" for value in (unit, cycle, 0, 0, 100, *sensors)))
    return "\n".join(line.replace(".0000", "", 2) for line in lines) + "\n", left


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is promised here does not take hundreds of trees."""
    monkeypatch.setattr(engines_module, "ROUNDS", 12)
    monkeypatch.setattr(table_module, "ROUNDS", 25)


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engines")
    (folder / "train_FD001.txt").write_text(engine_table(ENGINES, 0, whole=True)[0])
    text, left = engine_table(ENGINES, 1, whole=False)
    (folder / "test_FD001.txt").write_text(text)
    (folder / "RUL_FD001.txt").write_text("".join(f"{each}\n" for each in left))
    return folder


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made rows of which one in twelve fails: where load times heat is high."""
    random = np.random.default_rng(3)
    load, heat = random.normal(0, 1, 900), random.normal(0, 1, 900)
    failed = load * heat + random.normal(0, 0.1, 900) > 1.4
    rows = [f"{a:.3f},{b:.3f},{int(f)}" for a, b, f in zip(load, heat, failed, strict=True)]
    path = tmp_path_factory.mktemp("table") / "rows.csv"
    path.write_text("load,heat,Machine_failure\n" + "\n".join(rows) + "\n")
    return path


def test_a_taught_life_judges_the_engines_of_the_test_table(engines: Path, tmp_path: Path) -> None:
    written = train(options(data=engines, format="cmapss", out=tmp_path), silent)
    card = read_card(tmp_path / "life.card.toml")
    assert written["engines"] == ENGINES
    assert card.golden is not None
    found = evaluate(asked(data=engines, format="cmapss", model=tmp_path), silent).figures
    assert {"rmse_capped", "rmse", "nasa_score", "interval_coverage"} <= set(found)
    assert found["rmse_capped"].n == ENGINES
    assert found["rmse_capped"].value is not None
    assert found["rmse_capped"].value < 20


def test_a_table_of_failures_is_judged_beside_saying_nothing(failures: Path, tmp_path: Path) -> None:
    train(options(data=failures, format="table", out=tmp_path), silent)
    anew = evaluate(asked(data=failures, format="table"), silent)
    kept = evaluate(asked(data=failures, format="table", model=tmp_path), silent)
    for found in (anew, kept):
        assert {"f1", "pr_auc", "accuracy", "accuracy_of_saying_nothing", "cost_against_nothing"} <= set(
            found.figures
        )
    f1 = anew.figures["f1"].value
    assert f1 is not None
    methods = {row["method"]: row for row in anew.rows}
    assert methods["never a failure"]["f1"] == 0.0
    assert f1 > 0.5
    assert f1 > float(str(methods["logistic regression"]["f1"])) + 0.2


def test_data_that_are_missing_or_too_few_are_refused(engines: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--data"):
        train(options(format="cmapss", out=tmp_path), silent)
    with pytest.raises(ConfigError, match="--data"):
        evaluate(asked(format="table"), silent)
    with pytest.raises(InputError, match="train_FD001"):
        train(options(data=tmp_path, format="cmapss", out=tmp_path), silent)
    (tmp_path / "train_FD001.txt").write_text(engine_table(3, 0, whole=True)[0])
    with pytest.raises(InputError, match="3 engines are too few"):
        train(options(data=tmp_path, format="cmapss", out=tmp_path), silent)
