"""``edgeai train TASK`` and ``edgeai evaluate TASK``: flags made from the task's own options."""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from edgeai_core.app import Progress, Task, app_names, load_app
from edgeai_core.errors import ConfigError, EdgeAIError

if TYPE_CHECKING:
    from edgeai_core.metrics.evaluation import Evaluation

_FLAG_TYPES = (bool, int, float, str, Path)


class _TaskGroup(TyperGroup):
    """A group whose commands are the tasks of the installed apps, imported only when one is asked for."""

    kind: Literal["train", "evaluate"]

    def list_commands(self, ctx: Any) -> list[str]:
        """Return every task that can be trained, or evaluated."""
        names = []
        for name in app_names():
            try:
                tasks = load_app(name).tasks
            except EdgeAIError:
                continue  # `edgeai apps` says why
            names += [
                f"{name}.{task.name}" for task in tasks if self.kind == "evaluate" or task.train is not None
            ]
        return sorted(names)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of one task, with a flag per option."""
        return _command(find_task(cmd_name), cmd_name, self.kind)


class _TrainGroup(_TaskGroup):
    kind = "train"


class _EvaluateGroup(_TaskGroup):
    kind = "evaluate"


train_app = typer.Typer(
    cls=_TrainGroup,
    no_args_is_help=True,
    help="Train a task's model. `edgeai train TASK --help` lists its flags.",
    subcommand_metavar="TASK [OPTIONS]",
)
evaluate_app = typer.Typer(
    cls=_EvaluateGroup,
    no_args_is_help=True,
    help="Measure a task's model. `edgeai evaluate TASK --help` lists its flags.",
    subcommand_metavar="TASK [OPTIONS]",
)


@train_app.callback()
def _train() -> None:
    pass


@evaluate_app.callback()
def _evaluate() -> None:
    pass


def find_task(name: str) -> Task:
    """Return the task addressed as ``<app>.<task>``. Raises ConfigError for an unknown one."""
    app_name, _, task_name = name.partition(".")
    app = load_app(app_name)
    for task in app.tasks:
        if task.name == task_name:
            return task
    known = ", ".join(f"{app_name}.{task.name}" for task in app.tasks) or "none"
    raise ConfigError(f"app {app_name!r} has no task {task_name!r} (it has: {known})")


def _command(task: Task, name: str, kind: Literal["train", "evaluate"]) -> Any:
    options = task.evaluate_options if kind == "evaluate" else task.train_options
    if options is None or (kind == "train" and task.train is None):
        raise ConfigError(f"task {name!r} cannot be trained")

    def command(**given: Any) -> None:
        as_json = given.pop("json_")
        chosen = make_options(name, options, given)
        if kind == "evaluate":
            with progress_bars() as progress:
                evaluation = task.evaluate(chosen, progress)
            typer.echo(json.dumps(evaluation.to_json(), indent=2)) if as_json else print_evaluation(
                evaluation
            )
        else:
            assert task.train is not None
            with progress_bars() as progress:
                written = task.train(chosen, progress)
            typer.echo(json.dumps(dict(written), default=str, indent=2) if as_json else _lines(written))

    command.__doc__ = task.summary
    command.__signature__ = signature_of(options)  # type: ignore[attr-defined]
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name, no_args_is_help=False)(command)
    return typer.main.get_command(single)


def make_options(name: str, options: type[Any], given: Mapping[str, Any]) -> Any:
    """Validate the flags of a task. Raises ConfigError that names the flag and the reason."""
    from pydantic import ValidationError

    try:
        return options.model_validate({key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        flag = "--" + str(first["loc"][0]).replace("_", "-") if first["loc"] else name
        raise ConfigError(f"{flag}: {first['msg'].removeprefix('Value error, ')}") from error


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Draw a bar per piece of long work on standard error; without a terminal there is none."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        ids: dict[str, Any] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in ids:
                ids[what] = bars.add_task(what, total=total)
            bars.update(ids[what], completed=done, total=total)

        yield report


def signature_of(options: type[Any]) -> inspect.Signature:
    """Return a signature that the command line makes flags of: one per field, lists as repeated flags."""
    parameters = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                _flag_type(field.annotation) | None,
                typer.Option(f"--{name.replace('_', '-')}", help=_help(field), show_default=False),
            ],
        )
        for name, field in options.model_fields.items()
    ]
    parameters.append(
        inspect.Parameter(
            "json_",
            inspect.Parameter.KEYWORD_ONLY,
            default=False,
            annotation=Annotated[bool, typer.Option("--json", help="Print one JSON object.")],
        )
    )
    return inspect.Signature(parameters)


def _flag_type(annotation: Any) -> Any:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _flag_type(arguments[0])
    if origin in (typing.Union, types.UnionType):
        choices = [each for each in arguments if each is not type(None)]
        return _flag_type(choices[0]) if len(choices) == 1 else str
    if origin in (list, tuple, set, frozenset) or annotation in (list, tuple):
        return list[_flag_type(arguments[0]) if arguments else str]  # type: ignore[misc]
    if annotation is bool:
        return bool
    return annotation if annotation in _FLAG_TYPES else str


def _help(field: Any) -> str:
    text = field.description or ""
    arguments = typing.get_args(field.annotation)
    if typing.get_origin(field.annotation) is Literal:
        text = f"{text} (one of {', '.join(map(str, arguments))})".strip()
    if field.is_required():
        return f"{text} [needed]".strip()
    default = field.get_default(call_default_factory=True)
    if default is None or default == () or default == [] or isinstance(default, bool):
        return text
    return f"{text} [default: {default}]".strip()


def print_evaluation(evaluation: Evaluation) -> None:
    """Print an evaluation as tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    said: dict[str, Any] = evaluation.to_json()
    model = said["model"]
    console.print(f"[bold]{said['task']}[/bold]  model {model['name']} {model['version']}", highlight=False)
    for data in said["data"]:
        counts = ", ".join(f"{count} {what}" for what, count in data["counts"].items())
        console.print(f"  {data['name']} ({data['licence']}): {counts}", highlight=False)
    _print_rows(console, said["rows"])
    table = Table(box=None, header_style="bold")
    table.add_column("figure")
    for title in ("value", "95 %", "n"):
        table.add_column(title, justify="right")
    table.add_column("")
    for name, figure in said["figures"].items():
        low, high = figure["low"], figure["high"]
        interval = "" if low is None or high is None else f"{_number(low, figure)} to {_number(high, figure)}"
        table.add_row(
            name, _number(figure["value"], figure), interval, str(figure["n"]), figure.get("note", "")
        )
    console.print(table)


def _print_rows(console: Any, rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        by_columns.setdefault(tuple(row), []).append(row)
    for columns, group in by_columns.items():
        table = Table(*columns, box=None, header_style="bold")
        for row in group:
            table.add_row(*(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()))
        console.print(table)


def _number(value: float | None, figure: Mapping[str, Any]) -> str:
    if value is None:
        return "-"
    if figure["unit"] == "1":
        return f"{100 * value:.2f} %"
    return f"{value:.4g} {figure['unit']}"


def _lines(written: Mapping[str, object], indent: str = "") -> str:
    """What a training returned, a line each; a figure with its interval."""
    lines = []
    for name, value in written.items():
        if isinstance(value, Mapping) and {"value", "low", "high", "n", "unit"} <= value.keys():
            span = (
                ""
                if value["low"] is None
                else " to ".join(_number(value[end], value) for end in ("low", "high"))
            )
            shown = f"{_number(value['value'], value)}{f' ({span})' if span else ''}, n {value['n']}"
            lines.append(f"{indent}{name}: {shown}")
        elif isinstance(value, Mapping) and value:
            lines.append(f"{indent}{name}:\n{_lines(value, indent + '  ')}")
        else:
            lines.append(f"{indent}{name}: {value}")
    return "\n".join(lines)
