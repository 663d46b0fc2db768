"""The ``edgeai`` command: one line for an error, an exit code for a script, help that teaches."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, NoReturn

import typer

from edgeai_core.cli import alerts, apps, decisions, demo, doctor, new, replay, run, serve, tasks, tokens, top
from edgeai_core.cli import learn as learn_commands
from edgeai_core.cli import models as model_commands
from edgeai_core.cli import rollback as rollback_command
from edgeai_core.cli import webhooks as webhook_commands
from edgeai_core.cli.options import printable
from edgeai_core.errors import EdgeAIError

HELP = """Programs that sense, decide and alert on a device, with a deadline.

First steps: `edgeai demo` plays the sample recordings; `edgeai apps` lists what is installed;
`edgeai run healthcare --serve 127.0.0.1:8080` runs an app with its page; `edgeai new NAME` starts your own.

Exit codes: 0 well, 1 failed, 2 configuration or usage, 3 input, 4 model, 5 sensor, 6 journal, 7 missing extra,
130 interrupted.
"""

_PLAIN = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=_PLAIN,
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(version("edgeai"))
        raise typer.Exit


@app.callback()
def _edgeai(
    show_version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and end."
    ),
) -> None:
    pass


RUNNING = "Run"
WATCHING = "Look"
MAKING = "Make and measure"

app.command("demo", rich_help_panel=RUNNING)(demo.demo)
app.command("run", rich_help_panel=RUNNING)(run.run)
app.command("serve", rich_help_panel=RUNNING)(serve.serve)
app.command("replay", rich_help_panel=RUNNING)(replay.replay)
app.command("apps", rich_help_panel=WATCHING)(apps.apps)
app.command("top", rich_help_panel=WATCHING)(top.top)
app.add_typer(alerts.app, name="alerts", rich_help_panel=WATCHING)
app.add_typer(webhook_commands.app, name="webhook", rich_help_panel=WATCHING)
app.command("doctor", rich_help_panel=WATCHING)(doctor.doctor)
app.add_typer(tokens.app, name="token", rich_help_panel=WATCHING)
app.add_typer(tasks.evaluate_app, name="evaluate", rich_help_panel=MAKING)
app.add_typer(tasks.train_app, name="train", rich_help_panel=MAKING)
app.add_typer(decisions.app, name="decisions", rich_help_panel=MAKING)
app.add_typer(model_commands.app, name="model", rich_help_panel=MAKING)
model_commands.app.command("rollback")(rollback_command.rollback)
app.add_typer(learn_commands.app, name="learn", rich_help_panel=MAKING)
app.command("new", rich_help_panel=MAKING)(new.new)


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal cannot show must not end a command
            stream.reconfigure(errors="backslashreplace")
    # Threads of numpy wait by spinning: for the small matrices of these models two are slower than one, and where
    # folds are taught side by side a hundred times slower.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(execute(sys.argv[1:]))


def execute(arguments: list[str]) -> int:
    """Run one command and return its exit code; errors are one line on standard error."""
    command: Any = typer.main.get_command(app)
    try:
        result = command.main(args=arguments, prog_name="edgeai", standalone_mode=False)
    except EdgeAIError as error:
        return _fail(str(error), error.exit_code)
    except typer.Abort:
        return 130
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        where = "the output" if error.errno == errno.ENOSPC and error.filename is None else error.filename
        if not isinstance(where, str) or os.environ.get("EDGEAI_TRACEBACK"):
            return _fail(_internal(error), 1)
        return _fail(f"{where}: {error.strerror}", 1)
    except Exception as error:
        if not hasattr(
            error, "format_message"
        ):  # what the parser raises knows its message; all else is our fault
            return _fail(_internal(error), 1)
        return _usage(error)
    return result if isinstance(result, int) else 0


def _usage(error: Any) -> int:
    context = getattr(error, "ctx", None)
    message = error.format_message().strip()
    if not message or message.startswith(
        "Usage:"
    ):  # nothing was asked of it: its help, which rich may have shown
        if message:
            typer.echo(message, err=True)
        return 2
    path = context.command_path if context is not None else "edgeai"
    return _fail(f"{message} (see {path} --help)", 2)


def _internal(error: Exception) -> str:
    if os.environ.get("EDGEAI_TRACEBACK"):
        raise error
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
    return f"internal fault: {type(error).__name__}: {error}{place}; EDGEAI_TRACEBACK=1 shows how it came"


def _fail(message: str, code: int) -> int:
    typer.echo(f"edgeai: {printable(message)}", err=True)
    return code


if __name__ == "__main__":
    main()
