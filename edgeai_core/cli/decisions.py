"""``edgeai decisions``: the decisions that the sample recordings gave, checked and accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeai_core.app import load_app
from edgeai_core.errors import ConfigError, EdgeAIError

app = typer.Typer(
    no_args_is_help=True,
    help="Recordings with the decisions they gave: a change that alters one is seen before it is taken.",
)

SamplesArgument = Annotated[
    Path, typer.Argument(metavar="[DIR]", help="Recordings as DIR/<app>/<loop>/<name>.")
]


@app.command()
def check(samples: SamplesArgument = Path("data_samples")) -> None:
    """Replay every recording; end with 1 where a decision is not the stored one, and say which, and when."""
    if _look(samples, accept=False):
        raise EdgeAIError("decisions have changed; `edgeai decisions accept` takes them")


@app.command()
def accept(
    samples: SamplesArgument = Path("data_samples"),
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Replay every recording, show which decisions changed and at what moment, and store them once agreed."""
    changed = _look(samples, accept=True)
    if not changed:
        return
    if not yes:
        typer.confirm(f"store the decisions of {len(changed)} recordings?", abort=True, err=True)
    from edgeai_core.testing.decisions import write_decisions

    for recording, lines in changed.items():
        write_decisions(recording, lines)
        typer.echo(f"{recording}: stored")


def _look(samples: Path, *, accept: bool) -> dict[Path, list[dict[str, object]]]:
    """Replay, print what differs, and return the new decisions of the recordings where something does."""
    from edgeai_core.errors import InputError
    from edgeai_core.testing.decisions import compare, decisions, play, read_decisions, recordings_in

    recordings = recordings_in(samples)
    if not recordings:
        raise ConfigError(f"{samples}: holds no recordings; they lie as {samples}/<app>/<loop>/<name>")
    changed: dict[Path, list[dict[str, object]]] = {}
    for app_name, loop, path in recordings:
        vertical = load_app(app_name)
        now = list(decisions(play(vertical, vertical.config(), {loop: str(path)})))
        try:
            differences = [str(each) for each in compare(read_decisions(path), now)]
        except InputError as error:
            if not accept:
                raise
            differences = [str(error).split(";")[0]]
        if differences:
            changed[path] = now
        typer.echo(f"{path}: {'as stored' if not differences else f'{len(differences)} changes'}")
        for each in differences:
            typer.echo(f"  {each}")
    return changed
