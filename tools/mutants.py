"""Mutation tests of the code that decides: change one thing at a time, and see that a test notices.

Run it as ``python tools/mutants.py [NAME ...]``, or ``make mutants``.

Each mutant is one small change to a module of TARGETS (a comparison, an operator, a number, a condition, a returned
value). It lives in memory only: the module is compiled from the changed tree in a process of its own, and the
module's tests run against it there. A mutant that no test notices is printed and fails the run, unless its target
accepts it by name, with the reason why nobody could notice it.
"""

from __future__ import annotations

import ast
import copy
import importlib.abc
import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis  # noqa: F401 - imported late, its plugin for pytest fails on a mutant that no test can import
import pytest

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Target:
    """A module that decides, the tests that hold it, and the survivors that are accepted, each with its reason."""

    module: str
    tests: tuple[str, ...]
    accepted: dict[str, str] = field(default_factory=dict)


TARGETS = {
    "braking": Target(
        "apps.automotive.braking.decide",
        ("tests/apps/automotive/braking/test_braking_decide.py",),
        {
            "meets_s <= stands_s: LtE -> Lt": "met in the moment in which he stands, both formulas give that moment",
            "2 * room / later < stands_s - early: Lt -> LtE": "met in that moment, both ask for the same",
            "threat.speed_mps > 0.0: Gt -> GtE": "who stands already stops after 0 s, and both formulas are one",
        },
    ),
    "lifecycle": Target(
        "edgeai_core.alerts.lifecycle",
        (
            "tests/edgeai_core/alerts/test_alert_lifecycle.py",
            "tests/edgeai_core/alerts/test_alert_people.py",
        ),
    ),
    "assessment": Target(
        "edgeai_core.alerts.assessment",
        ("tests/edgeai_core/alerts/test_alert_assessment.py",),
    ),
    "ecg.decide": Target(
        "apps.healthcare.ecg.decide",
        ("tests/apps/healthcare/ecg/test_ecg_decide.py",),
    ),
    "ecg.pulse_check": Target(
        "apps.healthcare.ecg.pulse_check",
        ("tests/apps/healthcare/ecg/test_ecg_pulse_check.py",),
    ),
    "vitals.news2": Target(
        "apps.healthcare.vitals.news2",
        ("tests/apps/healthcare/vitals/test_news2.py",),
    ),
    "vitals.fuse": Target(
        "apps.healthcare.vitals.fuse",
        ("tests/apps/healthcare/vitals/test_vitals_fuse.py",),
    ),
    "vitals.decide": Target(
        "apps.healthcare.vitals.decide",
        ("tests/apps/healthcare/vitals/test_vitals_decide.py",),
    ),
    "imaging.decide": Target(
        "apps.healthcare.imaging.decide",
        ("tests/apps/healthcare/imaging/test_imaging_decide.py",),
        {"if TYPE_CHECKING: always True": "what is imported there serves annotations alone"},
    ),
}

TIMEOUT_S = 60
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And, ast.USub: ast.UAdd,
}  # fmt: skip


def mutants(tree: ast.Module) -> Iterator[tuple[str, ast.Module]]:
    """Yield (what was changed, the changed tree), one change each; docstrings and annotations are left alone."""
    skipped = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign)
        for part in ast.walk(node.annotation)
    }
    for index, node in enumerate(ast.walk(tree)):
        if id(node) in skipped:
            continue
        for what, change in _changes(node):
            changed = copy.deepcopy(tree)
            twin = next(each for i, each in enumerate(ast.walk(changed)) if i == index)
            change(twin)
            ast.fix_missing_locations(changed)
            line = getattr(node, "lineno", 0)
            yield f"line {line}: {what}", changed


def _changes(node: ast.AST) -> Iterator[tuple[str, Callable[[Any], None]]]:
    if (isinstance(node, ast.BinOp | ast.AugAssign | ast.UnaryOp) and type(node.op) in SWAPS) or isinstance(
        node, ast.BoolOp
    ):
        new = SWAPS[type(node.op)]
        yield (
            f"{ast.unparse(node)}: {type(node.op).__name__} -> {new.__name__}",
            lambda n: setattr(n, "op", new()),
        )
    elif isinstance(node, ast.Compare):
        for i, operator in enumerate(node.ops):
            if type(operator) in SWAPS:
                new = SWAPS[type(operator)]
                yield (
                    f"{ast.unparse(node)}: {type(operator).__name__} -> {new.__name__}",
                    lambda n, i=i, new=new: n.ops.__setitem__(i, new()),
                )
    elif (
        isinstance(node, ast.Constant)
        and isinstance(node.value, int | float)
        and not isinstance(node.value, bool)
    ):
        if node.value == node.value:
            yield f"{node.value} -> {node.value + 1}", lambda n: setattr(n, "value", n.value + 1)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield f"{node.value} -> {not node.value}", lambda n: setattr(n, "value", not n.value)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield (
            f"{ast.unparse(node)}: not dropped",
            lambda n: setattr(n, "operand", ast.UnaryOp(ast.Not(), n.operand)),
        )
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        for value in (True, False):
            yield (
                f"if {ast.unparse(node.test)}: always {value}",
                lambda n, value=value: setattr(n, "test", ast.Constant(value)),
            )
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("min", "max"):
        other = "max" if node.func.id == "min" else "min"
        yield f"{ast.unparse(node)}: {node.func.id} -> {other}", lambda n: setattr(n.func, "id", other)


def killed(job: tuple[str, str, tuple[str, ...]]) -> bool:
    """Return whether the tests fail on a mutant (module, its source, tests); one that hangs counts as noticed.

    Called in a process of its own, forked from one that has never imported the module.
    """
    module, source, tests = job

    class Mutant(importlib.abc.MetaPathFinder, importlib.abc.Loader):
        def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
            return importlib.util.spec_from_loader(name, self) if name == module else None

        def exec_module(self, made: ModuleType) -> None:
            exec(compile(source, module, "exec"), made.__dict__)

    def hangs(_number: int, _frame: object) -> None:
        raise TimeoutError

    sys.meta_path.insert(0, Mutant())
    signal.signal(signal.SIGALRM, hangs)
    signal.alarm(TIMEOUT_S)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    try:
        plain = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
        plain += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is imported already
        return pytest.main([*plain, *(str(ROOT / each) for each in tests)]) != pytest.ExitCode.OK
    except TimeoutError:
        return True


def survivors(target: Target, workers: int) -> tuple[int, list[str]]:
    """Return how many mutants there are, and those that no test notices and nobody accepted."""
    source = (ROOT / (target.module.replace(".", "/") + ".py")).read_text(encoding="utf-8")
    tree = ast.parse(source)
    every = [("", tree), *mutants(tree)]
    jobs = [(target.module, ast.unparse(mutant), target.tests) for _, mutant in every]
    alive: list[str] = []
    with get_context("fork").Pool(workers, maxtasksperchild=1) as pool:
        for number, dead in enumerate(pool.imap(killed, jobs, chunksize=1)):
            what = every[number][0]
            if number == 0 and dead:
                raise SystemExit(f"{target.module} fails its tests as it is; mend that first")
            if number and not dead and what.partition(": ")[2] not in target.accepted:
                alive.append(what)
                print(f"survived: {what}", flush=True)
            if number % 25 == 0:
                print(f"{number} of {len(every) - 1} mutants", file=sys.stderr, flush=True)
    return len(every) - 1, alive


def main() -> int:
    """Run the targets that are named, or all; return 1 where a mutant survived."""
    sys.path.insert(0, str(ROOT))
    names = sys.argv[1:] or list(TARGETS)
    failed = False
    for name in names:
        if name not in TARGETS:
            raise SystemExit(f"no target {name!r}; there is {', '.join(TARGETS)}")
        count, alive = survivors(TARGETS[name], workers=os.cpu_count() or 1)
        accepted = len(TARGETS[name].accepted)
        print(f"{name}: {count} mutants, {len(alive)} survived, {accepted} accepted with a reason")
        failed |= bool(alive)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
