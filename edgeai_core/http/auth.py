"""Who asks, and what they may: every route is closed until it says to whom it is open."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, Request, params
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from edgeai_core.http.problems import problem
from edgeai_core.http.tokens import Role, Token, TokenStore

COOKIE = "edgeai_session"

_GRANTS = {
    Role.VIEWER: frozenset({Role.VIEWER, Role.OPERATOR, Role.ADMIN}),
    Role.OPERATOR: frozenset({Role.OPERATOR, Role.ADMIN}),
    Role.ADMIN: frozenset({Role.ADMIN}),
    Role.DEVICE: frozenset({Role.DEVICE, Role.ADMIN}),
}
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_MAX_PEERS = 1024
_MAX_WAITING = 32
_MAX_WAIT_S = 4.0


@dataclass(frozen=True)
class Principal:
    """Who asks. ``via`` says how we know: a bearer token, the page's cookie, or being on this machine."""

    name: str
    role: Role | None
    via: Literal["token", "cookie", "loopback", "nobody"]
    token_id: str = ""

    @property
    def key(self) -> str:
        """What limits for each are counted by."""
        return self.token_id or self.via


NOBODY = Principal("", None, "nobody")


@dataclass(frozen=True)
class Access:
    """A route's declaration of who may use it; ``authorise`` reads it."""

    roles: frozenset[Role]
    public: bool = False

    async def __call__(self) -> None:
        """Do nothing: the declaration is all."""


def allow(role: Role) -> params.Depends:
    """Declare that a route is for ``role`` and those that include it: ``dependencies=[allow(Role.VIEWER)]``."""
    access: params.Depends = Depends(Access(_GRANTS[role]))
    return access


def public() -> params.Depends:
    """Declare that a route is open to everybody."""
    access: params.Depends = Depends(Access(frozenset(), public=True))
    return access


def accesses(route: Any) -> list[Access]:
    """Return what a route declares, on itself and on its router. None at all: it is closed."""
    dependant = getattr(route, "dependant", None)
    return _accesses(dependant) if dependant is not None else []


async def authorise(request: Request) -> None:
    """Refuse who may not use this route. A dependency of the whole application, so that none is forgotten."""
    declared = accesses(request.scope.get("route"))
    who = principal(request)
    if not declared:
        raise HTTPException(403, "this route declares no role, so it is closed to everybody")
    for access in declared:
        if access.public:
            continue
        if who.role is None:
            raise unauthorised()
        if who.role not in access.roles:
            needed = ", ".join(sorted(access.roles))
            raise HTTPException(
                403, f"this needs a token with one of the roles {needed}; yours is {who.role}"
            )


def principal(request: Request) -> Principal:
    """Return who asks, as the gate has found."""
    who = request.scope.get("edgeai.principal", NOBODY)
    assert isinstance(who, Principal)
    return who


async def _who(request: Request) -> Principal:
    return principal(request)


Who = Annotated[Principal, Depends(_who)]
"""A route's parameter: who asks."""


def unauthorised(detail: str = "this needs a token") -> HTTPException:
    """Return the refusal for somebody unknown."""
    return HTTPException(401, detail, {"WWW-Authenticate": 'Bearer realm="edgeai"'})


class Gate:
    """ASGI middleware that finds out who asks before anything else of the request is looked at.

    Somebody unknown gets no further than the public routes, whatever the path: no body is read for them.
    """

    def __init__(
        self,
        app: ASGIApp,
        tokens: TokenStore,
        slow_down: SlowDown,
        allow_loopback: bool,
        routes: list[BaseRoute],
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._slow_down = slow_down
        self._allow_loopback = allow_loopback
        self._routes = routes
        self._public: list[tuple[frozenset[str], re.Pattern[str]]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return None  # no websocket is served; the server refuses it
        try:
            scope["edgeai.principal"] = await self._admit(scope)
        except HTTPException as error:
            return await problem(error.status_code, error.detail, headers=error.headers)(scope, receive, send)
        return await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> Principal:
        headers = Headers(scope=scope)
        is_public = self._is_public(scope["method"], scope["path"])
        who = NOBODY
        bearer = _bearer(headers)
        if bearer is not None:
            token = self._tokens.find(bearer)
            if token is not None and not token.parent:
                who = Principal(token.name, token.role, "token", token.id)
            elif not is_public:
                await self._slow_down.wrong(_peer(scope))
                raise unauthorised("this token is not known here, or was revoked")
        else:
            # A cookie that has ended counts as none: a browser sends it to every port of the host.
            token = self._session(headers)
            if token is not None:
                who = Principal(token.name, token.role, "cookie", token.id)
            elif self._allow_loopback and is_loopback(scope):
                who = Principal("local", Role.OPERATOR, "loopback")
        if who.via in ("cookie", "loopback") or scope["method"] not in _SAFE_METHODS:
            _check_origin(scope["method"], headers, who, is_public)
        if who.role is None and not is_public:
            raise unauthorised()
        return who

    def _session(self, headers: Headers) -> Token | None:
        for value in cookies(headers, COOKIE):
            token = self._tokens.find(value)
            if token is not None and token.parent:
                return token
        return None

    def _is_public(self, method: str, path: str) -> bool:
        if self._public is None:
            self._public = list(_public_routes(self._routes))
        return any(method in methods and regex.match(path) for methods, regex in self._public)


class SlowDown:
    """Makes whoever tries wrong tokens wait, without letting them tie up the server or lock others out.

    The wait doubles with each wrong token of an address. At most ``_MAX_WAITING`` requests wait at once; the
    next is told to come back later, at once. A right token never waits.
    """

    def __init__(self, first_s: float) -> None:
        self._first_s = first_s
        self._failures: OrderedDict[str, int] = OrderedDict()
        self._waiting = 0

    async def wrong(self, peer: str) -> None:
        """Wait for a wrong token of ``peer``; raises the 429 problem where too many wait already."""
        failures = self._failures.pop(peer, 0) + 1
        self._failures[peer] = failures
        if len(self._failures) > _MAX_PEERS:
            self._failures.popitem(last=False)
        if self._waiting >= _MAX_WAITING:
            raise HTTPException(429, "too many wrong tokens", {"Retry-After": str(int(_MAX_WAIT_S))})
        self._waiting += 1
        try:
            await asyncio.sleep(self.wait_s(failures))
        finally:
            self._waiting -= 1

    def right(self, peer: str) -> None:
        """Forget the wrong tokens of an address from which a right one came."""
        self._failures.pop(peer, None)

    def wait_s(self, failures: int) -> float:
        """Return the wait after so many wrong tokens in a row."""
        return min(self._first_s * 2.0 ** min(failures - 1, 16), _MAX_WAIT_S)


def is_loopback(scope: Scope) -> bool:
    """Say whether a request comes from a program on this machine that meant to speak to this machine.

    The peer's address alone is not enough: a page of the internet whose name was made to point at 127.0.0.1
    (DNS rebinding) comes from here too, under its own Host; and behind a proxy on this machine everybody does.
    """
    headers = Headers(scope=scope)
    client = scope.get("client")
    if not client or not is_loopback_address(client[0]) or any(name in headers for name in _FORWARDED):
        return False
    hosts = headers.getlist("host")
    host = _host_name(hosts[0]) if len(hosts) == 1 else ""
    return host == "localhost" or is_loopback_address(host)


def is_loopback_address(address: str) -> bool:
    """Say whether an address is this machine's own; what is no address is not."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


def cookies(headers: Headers, name: str) -> list[str]:
    """Return the values of a cookie: a browser may send two of one name, of different paths."""
    values: list[str] = []
    for line in headers.getlist("cookie"):
        for part in line.split(";")[:64]:
            key, _, value = part.strip().partition("=")
            if key == name:
                values.append(value)
    return values[:4]


def peer_of(request: Request) -> str:
    """Return the address that a request comes from."""
    return _peer(request.scope)


def unguarded(routes: Iterable[BaseRoute]) -> list[str]:
    """Return the paths of routes that no dependency can guard: anything but a path operation."""
    return [
        str(context.path)
        for context in iter_route_contexts(list(routes))
        if getattr(context.original_route, "dependant", None) is None
    ]


def _public_routes(routes: list[BaseRoute]) -> Iterable[tuple[frozenset[str], re.Pattern[str]]]:
    for context in iter_route_contexts(routes):
        declared = accesses(context.original_route)
        if declared and all(access.public for access in declared):
            yield frozenset(context.methods or ()), context.path_regex


def _accesses(dependant: Dependant) -> list[Access]:
    own = [dependant.call] if isinstance(dependant.call, Access) else []
    return own + [access for each in dependant.dependencies for access in _accesses(each)]


def _bearer(headers: Headers) -> str | None:
    values = headers.getlist("authorization")
    if not values:
        return None
    scheme, _, token = values[0].partition(" ")
    return token.strip() if len(values) == 1 and scheme.lower() == "bearer" else ""


def _check_origin(method: str, headers: Headers, who: Principal, is_public: bool) -> None:
    """Refuse what another site's page makes a browser send: cookies and loopback need no knowledge of a token."""
    if who.via == "token":
        return
    site = headers.get("sec-fetch-site")
    if site in ("cross-site", "same-site") and not is_public:
        raise HTTPException(403, "this request comes from a page of another site")
    if method in _SAFE_METHODS:
        return
    origin = headers.get("origin")
    if origin is None and who.via == "cookie":
        raise HTTPException(403, "a request that changes something with a cookie must carry its Origin")
    if origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower():
        raise HTTPException(403, "this request comes from a page of another site")


def _host_name(host: str) -> str:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::\d{1,5})?", host)
    return match[1].strip("[]").lower() if match else ""


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""
