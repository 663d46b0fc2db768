"""Bearer tokens: made once, shown once, kept as hashes in the state folder's `tokens.toml`."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from edgeai_core.errors import ConfigError
from edgeai_core.private_file import file_stamp, locked, read_private, write_private
from edgeai_core.state import State

MAX_TOKENS = 1000
MAX_SESSIONS_EACH = 32

_log = logging.getLogger("edgeai.http")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_SECRET = re.compile(r"edgeai_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_NO_DIGEST = "0" * 64


class Role(StrEnum):
    """What a token may do. Each person's role includes those before it; a device may only post alerts."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    DEVICE = "device"


@dataclass(frozen=True)
class Token:
    """What is kept of a token: never the token itself.

    ``digest`` is the SHA-256 of its 256 random bits: of such, no slower hash is needed, for there is nothing
    to guess. A ``parent`` marks a browser's session that was opened with another token and ends with it.
    """

    id: str
    name: str
    role: Role
    digest: str
    created_at: str
    expires_s: float = 0.0
    """Unix time; 0: never."""
    parent: str = ""


def create_token(state: State, name: str, role: Role | str) -> str:
    """Add a token and return it: the only time that it can be seen.

    Raises ConfigError for a name that is taken or malformed, for an unknown role, and where the file cannot be
    written.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"a token cannot be named {name!r}: use 1 to 64 letters, digits, '.', '_', '@' or '-', "
            "the first a letter or digit"
        )
    if role not in set(Role):
        raise ConfigError(f"there is no role {str(role)!r}; the roles are {', '.join(Role)}")
    with _changing(state.tokens) as tokens:
        if any(token.name == name and not token.parent for token in tokens):
            raise ConfigError(f"a token named {name!r} exists; revoke it first, or choose another name")
        if sum(not token.parent for token in tokens) >= MAX_TOKENS:
            raise ConfigError(f"there are {MAX_TOKENS} tokens; revoke some first")
        secret, token = _new(name, Role(role))
        tokens.append(token)
    return secret


def revoke_token(state: State, name: str) -> Token:
    """Remove a token by its name or id, and every session opened with it. Raises ConfigError for an unknown one."""
    with _changing(state.tokens) as tokens:
        found = [token for token in tokens if not token.parent and name in (token.name, token.id)]
        if not found:
            raise ConfigError(f"there is no token {name!r}; `edgeai token list` names them")
        tokens[:] = [token for token in tokens if found[0].id not in (token.id, token.parent)]
    return found[0]


def list_tokens(state: State) -> list[Token]:
    """Return the tokens in the order in which they were made, without the sessions opened with them."""
    return [token for token in _read(state.tokens) if not token.parent]


class TokenStore:
    """The server's view of `tokens.toml`: read anew when the file changes, so that a revoked token ends at once.

    A file that cannot be read or trusted lets nobody in.
    """

    def __init__(self, path: Path, now_s: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now_s = now_s
        self._stamp: tuple[int, ...] | None = None
        self._tokens: dict[str, Token] = {}

    def find(self, secret: str) -> Token | None:
        """Return the token that ``secret`` is, or None. The comparison takes the same time however much agrees."""
        match = _SECRET.fullmatch(secret)
        token = self._current().get(match[1]) if match else None
        digest = _digest(match[2] if match else "")
        same = hmac.compare_digest(digest, token.digest if token else _NO_DIGEST)
        return token if same and token and self._valid(token) else None

    def holds(self, id: str) -> bool:
        """Say whether a token seen before is still good: neither revoked nor expired."""
        token = self._current().get(id)
        return token is not None and self._valid(token)

    def open_session(self, parent: Token, length_s: float) -> str:
        """Add a session for a browser and return its secret. The oldest of too many under one token ends."""
        with _changing(self._path) as tokens:
            tokens[:] = [token for token in tokens if self._valid(token)]
            own = [token for token in tokens if token.parent == parent.id]
            for token in own[: max(len(own) + 1 - MAX_SESSIONS_EACH, 0)]:
                tokens.remove(token)
            secret, token = _new(parent.name, parent.role, self._now_s() + length_s, parent.id)
            tokens.append(token)
        return secret

    def close_session(self, id: str) -> None:
        """End a session; nothing happens where it has ended before."""
        with _changing(self._path) as tokens:
            tokens[:] = [token for token in tokens if token.id != id or not token.parent]

    def _valid(self, token: Token) -> bool:
        return not token.expires_s or self._now_s() < token.expires_s

    def _current(self) -> dict[str, Token]:
        stamp = file_stamp(self._path)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._tokens = {token.id: token for token in _read(self._path)}
            except ConfigError as error:
                _log.error("nobody is let in: %s", error)
                self._tokens = {}
        return self._tokens


def _new(name: str, role: Role, expires_s: float = 0.0, parent: str = "") -> tuple[str, Token]:
    id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    created_at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return f"edgeai_{id}_{secret}", Token(id, name, role, _digest(secret), created_at, expires_s, parent)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@contextmanager
def _changing(path: Path) -> Iterator[list[Token]]:
    """Hold the file's lock, hand out its tokens, and write what became of them."""
    with locked(path, "tokens"):
        tokens = _read(path)
        before = list(tokens)
        yield tokens
        if tokens != before:
            rows = [asdict(token) | {"role": str(token.role)} for token in tokens]
            write_private(path, {"token": rows})


def _read(path: Path) -> list[Token]:
    try:
        rows = read_private(path, "tokens").get("token", [])
        return [Token(**{**row, "role": Role(row["role"])}) for row in rows]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"{path}: not a file of tokens: {error}; restore it, or remove it and make new tokens"
        ) from error
