"""What a vertical declares, and how it is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from edgeai_core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from edgeai_core.loop.spec import LoopSpec
    from edgeai_core.recording.shown import Encoder

ENTRY_POINT_GROUP = "edgeai.apps"

Progress = Callable[[str, int, int], None]
"""Called by long work with (what, done, total)."""


@dataclass(frozen=True)
class Task:
    """Something an app can be asked to do off line, addressed as ``<app>.<name>``.

    Options are pydantic models; the command line makes flags of their fields.
    ``evaluate(options, progress)`` returns an ``edgeai_core.metrics.evaluation.Evaluation``;
    ``train(options, progress)`` returns a mapping of what it wrote.
    ``continual(options, progress)`` returns an ``edgeai_core.learning.lesson.Lesson``: what was learnt on this device.
    ``federated(options, progress)`` returns ``edgeai_core.learning.continual.Samples``, grouped by whose they are.
    """

    name: str
    summary: str
    evaluate: Callable[[Any, Progress], Any]
    evaluate_options: type[Any]
    train: Callable[[Any, Progress], Mapping[str, object]] | None = None
    train_options: type[Any] | None = None
    continual: Callable[[Any, Progress], Any] | None = None
    continual_options: type[Any] | None = None
    federated: Callable[[Any, Progress], Any] | None = None
    federated_options: type[Any] | None = None


@dataclass(frozen=True)
class Panel:
    """A part of the live page: an ES module in the app's ``page`` folder that exports ``mount(element, api)``.

    ``topics`` are the live topics it draws, as ``<app>.<loop>/<topic>``.
    """

    name: str
    title: str
    module: Path
    topics: tuple[str, ...] = ()


@dataclass(frozen=True)
class App:
    """A vertical's front door.

    ``config`` is one pydantic model; ``loops(config)`` returns the specifications and loads nothing heavy.
    ``inputs(config, paths)`` returns the configuration with recordings in place of sensors, where
    ``paths`` maps a loop's name to a path; an app without one cannot be replayed from files.
    ``router(config)`` returns a FastAPI router mounted under ``/v1/<app>``, denied by default.
    ``bodies`` says which of its routes take a larger body than the server's limit, by path and bytes.
    ``models`` are the card files of the models it ships.
    ``channels()`` says by type how recorded values look in Foxglove (see ``edgeai_core.recording.foxglove``); a type
    that is not among them is shown as its plain fields. Only recording and showing call it, never a loop.
    ``demo`` sets fields of the configuration, by dotted name, where `edgeai demo` plays the sample recordings.
    """

    name: str
    summary: str
    config: type[Any]
    loops: Callable[[Any], Sequence[LoopSpec[Any]]]
    inputs: Callable[[Any, Mapping[str, str]], Any] | None = None
    tasks: tuple[Task, ...] = ()
    router: Callable[[Any], Any] | None = None
    panels: tuple[Panel, ...] = ()
    models: tuple[Path, ...] = field(default=())
    demo: Mapping[str, str] = field(default_factory=dict)
    channels: Callable[[], Mapping[type[Any], Encoder]] | None = None
    bodies: Mapping[str, int] = field(default_factory=dict)


def app_names() -> list[str]:
    """Return the names of the installed apps, sorted, without importing any."""
    return sorted({entry.name for entry in entry_points(group=ENTRY_POINT_GROUP)})


def load_app(name: str) -> App:
    """Import one app by its entry point.

    Raises ConfigError for an unknown name, for two apps of one name, and for an app that does not import.
    """
    found: list[EntryPoint] = [e for e in entry_points(group=ENTRY_POINT_GROUP) if e.name == name]
    values = sorted({entry.value for entry in found})
    if not values:
        known = ", ".join(app_names()) or "none"
        raise ConfigError(
            f"no app named {name!r} is installed (installed: {known}); `edgeai new {name}` starts one"
        )
    if len(values) > 1:
        raise ConfigError(f"two apps are named {name!r} ({', '.join(values)}); uninstall one of them")
    try:
        app = found[0].load()
    except ImportError as error:
        raise ConfigError(f"app {name!r} ({values[0]}) does not import: {error}") from error
    if not isinstance(app, App):
        raise ConfigError(
            f"entry point {name!r} ({values[0]}) is a {type(app).__name__}, not an edgeai_core.app.App"
        )
    if app.name != name:
        raise ConfigError(f"entry point {name!r} ({values[0]}) holds an app that calls itself {app.name!r}")
    return app
