"""``edgeai token``: who may talk to the server."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from edgeai_core.cli.options import JsonOption, StateOption
from edgeai_core.state import find_state

app = typer.Typer(no_args_is_help=True, help="Bearer tokens of the HTTP server: kept as hashes, shown once.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose it is: a person, a screen, a device.")],
    role: Annotated[
        str, typer.Option(help="viewer looks, operator also acknowledges, admin all, device posts alerts.")
    ] = "viewer",
    state: StateOption = None,
) -> None:
    """Make a token and print it: it cannot be shown again."""
    from edgeai_core.http.tokens import create_token

    typer.echo(create_token(find_state(state).create(), name, role))


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="Its name or id.")],
    state: StateOption = None,
) -> None:
    """Remove a token; whoever holds it is out at once."""
    from edgeai_core.http.tokens import revoke_token

    token = revoke_token(find_state(state), name)
    typer.echo(f"revoked {token.name} ({token.role.value}, {token.id})")


@app.command("list")
def list_(state: StateOption = None, as_json: JsonOption = False) -> None:
    """List the tokens; none of their secrets, for those are not kept."""
    from edgeai_core.http.tokens import list_tokens

    tokens = [
        {"id": each.id, "name": each.name, "role": each.role.value, "created_at": each.created_at}
        for each in list_tokens(find_state(state))
    ]
    if as_json:
        typer.echo(json.dumps(tokens, indent=2))
        return
    for token in tokens:
        typer.echo(f"{token['id']}  {token['role']:<8}  {token['created_at']}  {token['name']}")
    if not tokens:
        typer.echo("there is no token; `edgeai token create NAME --role operator` makes one", err=True)
