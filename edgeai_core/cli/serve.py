"""``edgeai serve``: alerts, live view and page over HTTP; alone it is a gateway for other devices."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from edgeai_core.cli.options import ConfigOption, StateOption
from edgeai_core.errors import ConfigError
from edgeai_core.state import State, find_state


def serve(
    apps: Annotated[
        list[str] | None, typer.Argument(metavar="[APP...]", help="Apps whose routes and panels are served.")
    ] = None,
    bind: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where to listen.")] = "127.0.0.1:8080",
    config: ConfigOption = None,
    state: StateOption = None,
    loops: Annotated[
        list[str] | None,
        typer.Option(
            "--loop", metavar="APP.LOOP", help="A loop that must make progress for /readyz. Repeatable."
        ),
    ] = None,
    next_free_port: Annotated[
        bool, typer.Option("--next-free-port", help="Where the port is taken, the next free one.")
    ] = False,
    loopback_without_token: Annotated[
        bool,
        typer.Option("--loopback-without-token", help="Programs and browsers of this machine need no token."),
    ] = False,
    tls_certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Serve HTTPS with this.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="The certificate's key.")] = None,
    device: Annotated[str, typer.Option(help="This device's name in alerts. Else the host's name.")] = "",
    log_json: Annotated[bool, typer.Option("--log-json", help="Log JSON objects.")] = False,
) -> None:
    """Serve alerts (REST and events), the live page and metrics from one state folder.

    Other devices post their alerts here with a token of the role `device` (see `edgeai token create`).
    """
    from edgeai_core.http.server import bind as listen
    from edgeai_core.http.server import serve as serve_http
    from edgeai_core.http.settings import ServeSettings
    from edgeai_core.log import set_up_logging
    from edgeai_core.process.parent import die_with_parent

    set_up_logging("serve", as_json=log_json)
    die_with_parent()
    host, port = parse_address(bind)
    serve_http(
        ServeSettings(
            state=find_state(state).create().root,
            host=host,
            port=port,
            apps=tuple(apps or ()),
            loops=tuple(loops or ()),
            config=config,
            device=device,
            allow_loopback_without_token=loopback_without_token,
            tls_certificate=tls_certificate,
            tls_key=tls_key,
        ),
        listen(host, port, next_free_port),
    )


def serve_arguments(
    state: State,
    address: str,
    apps: Sequence[str],
    loops: Sequence[str],
    *,
    config: Path | None = None,
    device: str = "",
    next_free_port: bool = False,
    loopback_without_token: bool = False,
    log_json: bool = False,
) -> list[str]:
    """Return the arguments of ``edgeai`` with which a run starts its server."""
    arguments = ["serve", *apps, "--bind", address, "--state", str(state.root)]
    for loop in loops:
        arguments += ["--loop", loop]
    if config is not None:
        arguments += ["--config", str(config)]
    if device:
        arguments += ["--device", device]
    if next_free_port:
        arguments.append("--next-free-port")
    if loopback_without_token:
        arguments.append("--loopback-without-token")
    if log_json:
        arguments.append("--log-json")
    return arguments


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT`` (``[::1]:8080`` for IPv6). Raises ConfigError."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ConfigError(f"{text!r} is no address; write HOST:PORT, as 127.0.0.1:8080 or [::1]:8080")
    return host.removeprefix("[").removesuffix("]"), int(port)
