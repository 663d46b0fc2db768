"""Mutation tests of the code that decides: change one thing at a time, and see that a test notices.

Run it as ``python tools/mutants.py [--workers N] [NAME ...]``, or ``make mutants``.

Each mutant is one small change to a module of TARGETS (a comparison, an operator, a number, a condition, a returned
value). It lives in memory only: the module is compiled from the changed tree in a process of its own, and the
module's tests run against it there until one fails. A mutant that no test notices is printed and fails the run,
unless its target accepts it by name, with the reason why nobody could notice it.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.util
import os
import pkgutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from importlib.metadata import entry_points
from multiprocessing import get_context
from multiprocessing.connection import wait
from pathlib import Path
from types import ModuleType
from typing import Any

import _pytest
import hypothesis
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
        (
            "tests/apps/healthcare/ecg/test_ecg_decide.py",
            "tests/apps/healthcare/ecg/test_ecg_decide_lesser.py",
        ),
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
        {
            "if series[0][0] < time_s - SMOOTHED_S: always False": "what is too old is left out where it is read, too; "
            "here it only makes room"
        },
    ),
    "vitals.decide": Target(
        "apps.healthcare.vitals.decide",
        ("tests/apps/healthcare/vitals/test_vitals_decide.py",),
    ),
    "imaging.decide": Target(
        "apps.healthcare.imaging.decide",
        ("tests/apps/healthcare/imaging/test_imaging_decide.py",),
    ),
}

LONGEST_S = 60.0
_KILLED = 3
_PROFILE = "mutants"
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
        if isinstance(node, ast.AnnAssign) or _is_for_types(node)
        for part in ast.walk(node.annotation if isinstance(node, ast.AnnAssign) else node)
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


def _is_for_types(node: ast.AST) -> bool:
    """Return whether a node is a type ``Literal[...]``, or ``if TYPE_CHECKING`` with what annotations alone need."""
    of = node.value if isinstance(node, ast.Subscript) else node.test if isinstance(node, ast.If) else None
    return isinstance(of, ast.Name) and of.id in ("Literal", "TYPE_CHECKING")


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


def killed(module: str, source: str, tests: Sequence[str]) -> bool:
    """Return whether the tests fail on a mutant of a module.

    Called in a process of its own, forked from one that has never imported the module. One that hangs ends that
    process as one that a test noticed.
    """

    class Mutant(importlib.abc.MetaPathFinder, importlib.abc.Loader):
        def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
            return importlib.util.spec_from_loader(name, self) if name == module else None

        def exec_module(self, made: ModuleType) -> None:
            exec(compile(source, module, "exec"), made.__dict__)

    sys.meta_path.insert(0, Mutant())
    # Of processor time, so that a busy machine makes no mutant look killed; one that waits for ever ends by the clock.
    for of, number, limit_s in (
        (signal.ITIMER_PROF, signal.SIGPROF, LONGEST_S),
        (signal.ITIMER_REAL, signal.SIGALRM, 20 * LONGEST_S),
    ):
        signal.signal(number, lambda *_: os._exit(_KILLED))
        signal.setitimer(of, limit_s)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    plain = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", f"--hypothesis-profile={_PROFILE}"]
    plain += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is imported already
    return pytest.main([*plain, *(str(ROOT / each) for each in tests)], [_QuickFirst()]) != pytest.ExitCode.OK


class _QuickFirst:
    """A plugin of pytest: single examples before properties, which take a hundred times as long."""

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items.sort(key=lambda item: hypothesis.is_hypothesis_test(getattr(item, "obj", None)))


def survivors(target: Target, workers: int) -> tuple[int, list[str], list[str]]:
    """Return how many mutants there are, and of those that no test notices whom nobody accepted, and whom somebody."""
    path = ROOT / (target.module.replace(".", "/") + ".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    _warm(target.module, [path, *(ROOT / each for each in target.tests)])
    every = [("", tree), *mutants(tree)]
    alive: list[str] = []
    accepted: list[str] = []
    jobs = ((target.module, ast.unparse(mutant), target.tests) for _, mutant in every)
    for done, (number, dead) in enumerate(_verdicts(jobs, workers)):
        what = every[number][0]
        if number == 0 and dead:
            raise SystemExit(f"{target.module} fails its tests as it is; mend that first")
        if number and not dead:
            (accepted if what.partition(": ")[2] in target.accepted else alive).append(what)
            if alive and alive[-1] == what:
                print(f"survived: {what}", flush=True)
        if done % 25 == 0:
            print(f"{done} of {len(every) - 1} mutants", file=sys.stderr, flush=True)
    return len(every) - 1, alive, accepted


def _verdicts(jobs: Iterator[tuple[str, str, Sequence[str]]], workers: int) -> Iterator[tuple[int, bool]]:
    """Yield (number of the job, whether a test noticed) as they end; the first is waited for before any other."""
    context = get_context("fork")
    running: dict[Any, tuple[int, Any]] = {}
    for number, job in enumerate(jobs):
        process = context.Process(target=lambda job=job: os._exit(_KILLED if killed(*job) else 0))
        process.start()
        running[process.sentinel] = (number, process)
        if number == 0 or len(running) >= workers:
            yield from _ended(running)
    while running:
        yield from _ended(running)


def _ended(running: dict[Any, tuple[int, Any]]) -> Iterator[tuple[int, bool]]:
    for sentinel in wait(list(running)):
        number, process = running.pop(sentinel)
        process.join()
        yield number, process.exitcode != 0


def _warm(module: str, files: Sequence[Path]) -> None:
    """Import what a module and its tests stand on, once for all mutants: not the module, and not what imports it."""

    class Without(importlib.abc.MetaPathFinder):
        def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
            if name == module:
                raise ImportError(name)
            return None

    hypothesis.settings.register_profile(
        _PROFILE,
        deadline=None,
        max_examples=30,  # a mutant that only the thirty-first would notice deserves a test of its own
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],  # nobody reads a shrunken example
        derandomize=True,
        database=None,
    )
    sys.dont_write_bytecode = False  # pytest keeps the tests as it has rewritten them
    without = Without()
    sys.meta_path.insert(0, without)
    plugins = {each.module for each in entry_points(group="pytest11")}
    waiting = {*plugins, *(f"_pytest.{each.name}" for each in pkgutil.iter_modules(_pytest.__path__))}
    waiting |= {name for file in files for name in _imported(file)}
    tried = {module}
    while waiting:
        name = waiting.pop()
        tried.add(name)
        try:
            importlib.import_module(name)
        except ImportError:  # it imports the module: what else it imports can be had all the same
            file = ROOT / (name.replace(".", "/") + ".py")
            waiting |= (set(_imported(file)) - tried) if file.exists() else set()
    sys.meta_path.remove(without)


def _imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith("tests"):
            yield node.module


def main() -> int:
    """Run the targets that are named, or all, each in a process of its own; return 1 where a mutant survived."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(TARGETS)}; none: all of them"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="mutants tried at a time")
    given = parser.parse_args()
    for name in given.names:
        if name not in TARGETS:
            raise SystemExit(f"no target {name!r}; there is {', '.join(TARGETS)}")
    if len(given.names) != 1:
        command = [sys.executable, __file__, "--workers", str(given.workers)]
        return max(subprocess.run([*command, name]).returncode for name in given.names or TARGETS)
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    (name,) = given.names
    count, alive, accepted = survivors(TARGETS[name], given.workers)
    killed_here = count - len(alive) - len(accepted)
    print(
        f"{name}: {count} mutants, {killed_here} killed, {len(accepted)} accepted with a reason, {len(alive)} survived"
    )
    return int(bool(alive))


if __name__ == "__main__":
    sys.exit(main())
