"""Who gets the alerts pushed: webhook receivers, their filters and their secrets, in the state's `webhooks.toml`."""

from __future__ import annotations

import base64
import ipaddress
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

from edgeai_core.alerts import walltime
from edgeai_core.alerts.alert import AlertEvent, EventKind
from edgeai_core.decision import Priority
from edgeai_core.errors import ConfigError
from edgeai_core.private_file import locked, read_private, write_private

MAX_RECEIVERS = 50

_WHAT = "webhooks"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KINDS = get_args(EventKind)
_FILTERS = ("priorities", "apps", "kinds", "roles")
_SECRETS_AT_ONCE = 2  # while a receiver learns the new one, both sign


@dataclass(frozen=True)
class Receiver:
    """One receiver. An empty filter lets everything pass; what is given, an event must match.

    ``roles`` are those of the escalation: of an alert that was escalated to one of them, this and every later event.
    ``secrets`` sign what is sent, the newest first; they are shown once, when they are made.
    """

    name: str
    url: str
    secrets: tuple[str, ...]
    priorities: tuple[str, ...] = ()
    apps: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    created_at: str = ""

    def wants(self, event: AlertEvent) -> bool:
        """Return whether an event passes the filters."""
        alert = event.alert
        return (
            (not self.priorities or alert.priority.value in self.priorities)
            and (not self.apps or alert.app in self.apps)
            and (not self.kinds or event.kind in self.kinds)
            and (not self.roles or alert.escalated_to in self.roles)
        )

    def to_json(self) -> dict[str, object]:
        """Return what anybody may know: of the address only the host, for paths of webhooks are often secrets."""
        plain: dict[str, object] = {name: list(getattr(self, name)) for name in _FILTERS}
        return {"name": self.name, "host": urlsplit(self.url).netloc.rpartition("@")[2], **plain}


def add_receiver(
    path: Path,
    name: str,
    url: str,
    *,
    priorities: Sequence[str] = (),
    apps: Sequence[str] = (),
    kinds: Sequence[str] = (),
    roles: Sequence[str] = (),
    allow_plain_http: bool = False,
) -> Receiver:
    """Add a receiver with a new secret and return it.

    Raises ConfigError for a name that is taken or malformed, an address that is none (or in the clear, unless
    allowed), a filter that nothing could pass, and where the file cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"a webhook cannot be named {name!r}: use 1 to 64 letters, digits, '.', '_' or '-', the first a letter"
            " or digit"
        )
    _check_url(url, allow_plain_http)
    _check_known("priority", priorities, [each.value for each in Priority])
    _check_known("kind", kinds, _KINDS)
    receiver = Receiver(
        name,
        url,
        (_secret(),),
        tuple(priorities),
        tuple(apps),
        tuple(kinds),
        tuple(roles),
        walltime.now().iso,
    )
    with _changing(path) as receivers:
        if any(each.name == name for each in receivers):
            raise ConfigError(f"a webhook named {name!r} exists; remove it first, or choose another name")
        if len(receivers) >= MAX_RECEIVERS:
            raise ConfigError(f"there are {MAX_RECEIVERS} webhooks; remove some first")
        receivers.append(receiver)
    return receiver


def remove_receiver(path: Path, name: str) -> None:
    """Remove a receiver. Raises ConfigError for an unknown one."""
    with _changing(path) as receivers:
        receivers.remove(_named(receivers, name))


def rotate_secret(path: Path, name: str) -> str:
    """Give a receiver a new secret and return it; until the next change the old one signs too."""
    fresh = _secret()
    with _changing(path) as receivers:
        old = _named(receivers, name)
        kept = (fresh, *old.secrets)[:_SECRETS_AT_ONCE]
        receivers[receivers.index(old)] = replace(old, secrets=kept)
    return fresh


def find_receiver(path: Path, name: str) -> Receiver:
    """Return a receiver by its name. Raises ConfigError for an unknown one."""
    return _named(read_receivers(path), name)


def read_receivers(path: Path) -> list[Receiver]:
    """Return the receivers in the order in which they were added. Raises ConfigError for a file that is not ours."""
    try:
        rows = read_private(path, _WHAT).get("webhook", [])
        found = [_from_row(row) for row in rows]
        if any(not each.secrets or not isinstance(each.url, str) for each in found):
            raise ValueError("a webhook without address or secret")
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path}: not a file of webhooks: {error}; restore it, or remove it and add them anew"
        ) from error
    return found


def _from_row(row: dict[str, Any]) -> Receiver:
    return Receiver(**{key: tuple(value) if isinstance(value, list) else value for key, value in row.items()})


@contextmanager
def _changing(path: Path) -> Iterator[list[Receiver]]:
    with locked(path, _WHAT):
        receivers = read_receivers(path)
        yield receivers
        write_private(path, {"webhook": [asdict(each) for each in receivers]})


def _named(receivers: Iterable[Receiver], name: str) -> Receiver:
    for each in receivers:
        if each.name == name:
            return each
    raise ConfigError(f"there is no webhook {name!r}; `edgeai webhook list` names them")


def _secret() -> str:
    """Return 32 random bytes in the form of Standard Webhooks."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def _check_url(url: str, allow_plain_http: bool) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{url!r} is no address: {error}") from error
    if parts.scheme not in ("http", "https") or not host or len(url) > 2000 or not url.isprintable():
        raise ConfigError(f"{url!r} is no address of a webhook; write https://host/path")
    if parts.scheme == "http" and not allow_plain_http and not _is_loopback(host):
        raise ConfigError(
            f"{url!r} would send alerts in the clear; use https, or --allow-plain-http on a network that is yours"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_known(what: str, given: Sequence[str], known: Sequence[str]) -> None:
    for value in given:
        if value not in known:
            raise ConfigError(f"there is no {what} {value!r}; choose among {', '.join(known)}")
