"""Options that several commands share, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeai_core.app import App, load_app
from edgeai_core.errors import ConfigError

if TYPE_CHECKING:
    from edgeai_core.loop.spec import LoopSpec

StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state", metavar="DIR", help="The state folder. Else $EDGEAI_STATE, else ~/.local/state/edgeai."
    ),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="A TOML file with a table per app.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="APP.FIELD=VALUE", help="Set one field of the configuration. Repeatable."),
]
InputOption = Annotated[
    list[str] | None,
    typer.Option(
        "--input", metavar="[APP.LOOP=]PATH", help="A recording in place of a loop's sensor. Repeatable."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(frozen=True)
class Chosen:
    """An app that was named on the command line, its configuration, and the loops that were asked for.

    ``recorded`` are the recorded runs (MCAP) that stand in for a loop's inputs, by the loop's name.
    """

    app: App
    config: Any
    loops: tuple[LoopSpec[Any], ...]
    recorded: Mapping[str, Path] = field(default_factory=dict)


def choose(
    names: Sequence[str],
    config: Path | None = None,
    settings: Sequence[str] | None = None,
    inputs: Sequence[str] | None = None,
) -> list[Chosen]:
    """Load the apps named as ``APP`` or ``APP.LOOP``, with their configuration and recordings.

    Raises ConfigError for anything that does not fit together.
    """
    from edgeai_core.config import load_config

    wanted: dict[str, set[str]] = {}
    for name in names:
        app_name, _, loop = name.partition(".")
        wanted.setdefault(app_name, set()).add(loop)
    flags = _by_app(settings or (), wanted)
    loaded = [load_app(name) for name in wanted]
    configs = {app.name: load_config(app, config, flags.get(app.name)) for app in loaded}
    loops = {app.name: _loop_names(app, configs[app.name], wanted[app.name]) for app in loaded}
    recordings = _recordings(inputs or (), loops)
    return [_chosen(app, configs[app.name], wanted[app.name], recordings.get(app.name, {})) for app in loaded]


def printable(text: str) -> str:
    """Return text as one line that a terminal only shows: no line breaks in it, and nothing that it would obey.

    A path, a patient's name or another device's alert may hold anything.
    """
    return "".join(each if each.isprintable() else " " for each in text)


def play(app: App, config: Any, recordings: Mapping[str, str]) -> Any:
    """Return the configuration with recordings in place of sensors, by loop. Raises ConfigError, InputError."""
    if not recordings:
        return config
    if app.inputs is None:
        raise ConfigError(f"app {app.name!r} cannot play recordings: it declares no inputs")
    return app.inputs(config, recordings)


def _chosen(app: App, config: Any, names: set[str], recordings: Mapping[str, str]) -> Chosen:
    from edgeai_core.recording.replay import is_recording

    recorded = {loop: Path(path).absolute() for loop, path in recordings.items() if is_recording(Path(path))}
    config = play(app, config, {loop: path for loop, path in recordings.items() if loop not in recorded})
    specs = tuple(app.loops(config))
    known = {spec.name for spec in specs}
    for name in sorted(names - {""} - known):
        raise ConfigError(f"app {app.name!r} has no loop {name!r} (it has: {', '.join(sorted(known))})")
    loops = tuple(spec for spec in specs if "" in names or spec.name in names)
    return Chosen(app, config, tuple(_played(spec, app, recorded) for spec in loops), recorded)


def _played(spec: LoopSpec[Any], app: App, recorded: Mapping[str, Path]) -> LoopSpec[Any]:
    from edgeai_core.recording.source import from_recording

    return from_recording(spec, app.name, recorded[spec.name]) if spec.name in recorded else spec


def _loop_names(app: App, config: Any, asked: set[str]) -> list[str]:
    """The app's loops, those that were asked for by name first."""
    every = [spec.name for spec in app.loops(config)]
    return sorted(every, key=lambda name: "" not in asked and name not in asked)


def _by_app(settings: Sequence[str], wanted: Mapping[str, object]) -> dict[str, dict[str, str]]:
    flags: dict[str, dict[str, str]] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        app, dot, field = name.partition(".")
        if not equals or not dot or not field:
            raise ConfigError(
                f"--set {setting}: is written as APP.FIELD=VALUE, as healthcare.ecg.patient=bed-4"
            )
        if app not in wanted:
            raise ConfigError(f"--set {setting}: app {app!r} is not among those named ({', '.join(wanted)})")
        flags.setdefault(app, {})[field] = value
    return flags


def _recordings(inputs: Sequence[str], loops: Mapping[str, Sequence[str]]) -> dict[str, dict[str, str]]:
    every = [f"{app}.{loop}" for app, names in loops.items() for loop in names]
    recordings: dict[str, dict[str, str]] = {}
    for each in inputs:
        name, equals, path = each.partition("=")
        if not equals or name not in every:
            if equals and not Path(each).exists() and "/" not in name:
                raise ConfigError(
                    f"--input {each}: there is no loop {name!r} (there are: {', '.join(every)})"
                )
            if len(loops) != 1:  # of one app: the first loop that was asked for
                raise ConfigError(
                    f"--input {each}: say for which loop, as {every[0]}={each} (there are: {', '.join(every)})"
                )
            name, path = every[0], each
        app, _, loop = name.partition(".")
        if loop in recordings.setdefault(app, {}):
            raise ConfigError(f"--input {each}: {name} has a recording already")
        recordings[app][loop] = path
    return recordings
