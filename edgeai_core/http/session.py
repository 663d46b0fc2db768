"""`/v1/session`: how the page signs in. A token is traded for a cookie that no script can read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Annotated, Literal, ParamSpec, TypeVar

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from edgeai_core.errors import ConfigError
from edgeai_core.http.auth import COOKIE, Principal, Who, peer_of, public
from edgeai_core.http.problems import responses
from edgeai_core.http.services import Parts
from edgeai_core.http.tokens import Role

router = APIRouter(prefix="/v1/session", tags=["session"])

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger("edgeai.http")


class SignIn(BaseModel):
    """The token to sign in with: in the body, so that it stands in no address and no log."""

    model_config = ConfigDict(extra="forbid")

    token: Annotated[str, Field(min_length=1, max_length=200, repr=False)]


class SessionView(BaseModel):
    """Who asks; ``role`` is null where nobody is signed in."""

    name: str | None = Field(examples=["ward-3"])
    role: Role | None = Field(examples=["operator"])
    via: Literal["token", "cookie", "loopback", "nobody"]


@router.get("", summary="Who am I", dependencies=[public()])
async def who_am_i(who: Who) -> SessionView:
    """Say who asks, and how the server knows."""
    return _view(who)


@router.post(
    "", summary="Sign in", dependencies=[public()], responses=responses(400, 401, 403, 413, 422, 429, 503)
)
async def sign_in(body: SignIn, request: Request, response: Response, parts: Parts) -> SessionView:
    """Trade a token for a same-site, HTTP-only cookie."""
    token = parts.tokens.find(body.token)
    if token is None or token.parent:
        await parts.slow_down.wrong(peer_of(request))
        raise HTTPException(401, "this token is not known here, or was revoked")
    if token.role is Role.DEVICE:
        raise HTTPException(403, "a device's token may only post alerts; sign in with a person's")
    length_s = parts.settings.session_s
    secret = await _kept(parts.tokens.open_session, token, length_s)
    parts.slow_down.right(peer_of(request))
    response.set_cookie(
        COOKIE,
        secret,
        max_age=int(length_s),
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return _view(Principal(token.name, token.role, "cookie"))


@router.delete("", summary="Sign out", dependencies=[public()], responses=responses(403, 503))
async def sign_out(who: Who, response: Response, parts: Parts) -> SessionView:
    """End the session, here and in the browser."""
    if who.via == "cookie":
        await _kept(parts.tokens.close_session, who.token_id)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return SessionView(name=None, role=None, via="nobody")


async def _kept(change: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Change the file of tokens on a thread; where that fails, the disk may be full."""
    try:
        return await asyncio.to_thread(change, *arguments, **options)
    except ConfigError as error:
        _log.error("a session cannot be kept: %s", error)
        raise HTTPException(503, "the session cannot be kept; the server's log says why") from error


def _view(who: Principal) -> SessionView:
    return SessionView(name=who.name or None, role=who.role, via=who.via)
