"""``edgeai learn continual TASK`` and ``edgeai learn federated TASK``: learning on the device, and between devices."""

from __future__ import annotations

import inspect
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from edgeai_core.app import Task, app_names, load_app
from edgeai_core.cli.tasks import find_task, make_options, print_evaluation, progress_bars, signature_of
from edgeai_core.errors import ConfigError, EdgeAIError

Kind = Literal["continual", "federated"]


class _LearnGroup(TyperGroup):
    """A group whose commands are the tasks that can learn so."""

    kind: Kind

    def list_commands(self, ctx: Any) -> list[str]:
        """Return every task of the installed apps that can."""
        names = []
        for name in app_names():
            try:
                tasks = load_app(name).tasks
            except EdgeAIError:
                continue  # `edgeai apps` says why
            names += [f"{name}.{task.name}" for task in tasks if getattr(task, self.kind) is not None]
        return sorted(names)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of one task, with a flag per option."""
        task = find_task(cmd_name)
        if getattr(task, self.kind) is None:
            raise ConfigError(f"task {cmd_name!r} has no {self.kind} learning")
        return _continual(task, cmd_name) if self.kind == "continual" else _federated(task, cmd_name)


class _ContinualGroup(_LearnGroup):
    kind = "continual"


class _FederatedGroup(_LearnGroup):
    kind = "federated"


app = typer.Typer(no_args_is_help=True, help="Learn on this device, or between devices without moving data.")
continual_app = typer.Typer(
    cls=_ContinualGroup,
    no_args_is_help=True,
    help="Learn what is new without forgetting; what passes the gate becomes the task's current model.",
    subcommand_metavar="TASK [OPTIONS]",
)
federated_app = typer.Typer(
    cls=_FederatedGroup,
    no_args_is_help=True,
    help="Learn from the data of several clients, each in a process of its own, by averaging weights.",
    subcommand_metavar="TASK [OPTIONS]",
)
app.add_typer(continual_app, name="continual")
app.add_typer(federated_app, name="federated")


@continual_app.callback()
def _continual_group() -> None:
    pass


@federated_app.callback()
def _federated_group() -> None:
    pass


def _continual(task: Task, name: str) -> Any:
    options = task.continual_options
    if options is None:
        raise ConfigError(f"task {name!r} says no options of its continual learning")

    def command(**given: Any) -> None:
        from edgeai_core.learning.gate import RefusedError
        from edgeai_core.runners.store import install as install_version
        from edgeai_core.runners.store import next_name
        from edgeai_core.state import STATE_VARIABLE, find_state

        as_json, install, state = given.pop("json_"), given.pop("install"), find_state(given.pop("state"))
        os.environ[STATE_VARIABLE] = str(state.root)  # the app looks there for the model in use
        chosen = make_options(name, options, given)
        assert task.continual is not None
        with progress_bars() as progress:
            lesson = task.continual(chosen, progress)
        said: dict[str, Any] = {"installed": None, "refused": None}
        refused: RefusedError | None = None
        try:
            if install:
                called = next_name(state.create(), name, lesson.base)
                version = install_version(
                    state, name, called, lambda folder: lesson.write(folder, called).to_json()
                )
                said |= {"installed": version.name, "folder": str(version.folder), "gate": dict(version.why)}
            else:
                with TemporaryDirectory(prefix="edgeai-lesson-") as folder:
                    said["gate"] = lesson.write(Path(folder), "trial").to_json()
        except RefusedError as error:
            refused, said["refused"] = error, str(error)
        if as_json:
            typer.echo(json.dumps({**lesson.evaluation.to_json(), "lesson": said}, indent=2))
        else:
            print_evaluation(lesson.evaluation)
            if refused is None:
                typer.echo(_verdict(name, said))
        if refused is not None:
            raise refused

    return _made(command, task.summary, name, options, _CONTINUAL_FLAGS)


def _verdict(task: str, said: dict[str, Any]) -> str:
    if said["installed"] is None:
        return "passed the gate; nothing was installed"
    return (
        f"installed: {said['installed']} in {said['folder']}; loops use it from their next start.\n"
        f"`edgeai model rollback {task}` goes back."
    )


def _federated(task: Task, name: str) -> Any:
    options = task.federated_options
    if options is None:
        raise ConfigError(f"task {name!r} says no options of its federated learning")

    def command(**given: Any) -> None:
        from edgeai_core.learning.federated_evaluation import evaluate_federated
        from edgeai_core.learning.federated_options import FederatedOptions

        as_json = given.pop("json_")
        common = {key: given.pop(key) for key in FederatedOptions.model_fields}
        how = make_options(name, FederatedOptions, common)
        chosen = make_options(name, options, given)
        assert task.federated is not None
        with progress_bars() as progress:
            samples = task.federated(chosen, progress)
            evaluation = evaluate_federated(name, samples, how, progress)
        typer.echo(json.dumps(evaluation.to_json(), indent=2)) if as_json else print_evaluation(evaluation)

    from edgeai_core.learning.federated_options import FederatedOptions

    flags = [each for each in signature_of(FederatedOptions).parameters.values() if each.name != "json_"]
    return _made(command, task.summary, name, options, flags)


def _made(command: Any, summary: str, name: str, options: type[Any], more: list[inspect.Parameter]) -> Any:
    own = signature_of(options)
    command.__doc__ = summary
    command.__signature__ = own.replace(parameters=[*own.parameters.values(), *more])
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name, no_args_is_help=False)(command)
    return typer.main.get_command(single)


def _flag(name: str, kind: Any, default: Any, option: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
    )


_INSTALL = typer.Option(
    "--install/--try", help="Make what passes the gate the current model, or only say whether it passes."
)
_STATE = typer.Option(
    "--state", metavar="DIR", help="The state folder. Else $EDGEAI_STATE, else ~/.local/state/edgeai."
)
_CONTINUAL_FLAGS = [_flag("install", bool, True, _INSTALL), _flag("state", Path | None, None, _STATE)]
