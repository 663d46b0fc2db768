"""What `edgeai serve` can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0, le=3600)]


class ServeSettings(BaseModel):
    """The HTTP server's settings; the defaults are safe on a network.

    ``apps`` are mounted with their routes, panels and models; ``loops`` (as ``<app>.<loop>``) are those whose
    progress `/readyz` waits for. ``config`` is the TOML file from which the apps' configuration is read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: Path
    """The state folder: journal, tokens, statistics of the loops."""
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    apps: tuple[str, ...] = ()
    loops: tuple[str, ...] = ()
    config: Path | None = None
    device: str = Field(default="", max_length=64)
    """The name under which this server writes to the journal; empty: the machine's host name."""
    allow_loopback_without_token: bool = False
    """Programs and browsers on this very machine may look and acknowledge without a token."""

    tls_certificate: Path | None = None
    tls_key: Path | None = None

    max_body_bytes: int = Field(default=1 << 20, ge=1024, le=1 << 30)
    max_header_bytes: int = Field(default=16 << 10, ge=4096, le=1 << 20)
    max_connections: int = Field(default=256, ge=4, le=65536)
    max_streams: int = Field(default=64, ge=1, le=65536)
    """Event streams open at once, of all clients together."""
    max_streams_each: int = Field(default=16, ge=1, le=65536)
    """Event streams open at once under one token."""
    request_timeout_s: Seconds = 20.0
    """How long a client may take to send a request, head and body each."""
    send_timeout_s: Seconds = 30.0
    """How long a client may leave what was sent to it unread before it is dropped."""
    wrong_token_delay_s: float = Field(default=0.25, ge=0, le=10)
    """The wait after a first wrong token; it doubles with each further one from the same address."""
    session_s: float = Field(default=12 * 3600, ge=60, le=30 * 86400)
    """How long a browser stays signed in."""
    stall_after_s: Seconds = 5.0
    """A loop that makes no progress for so long is not ready (a slower loop gets five of its periods)."""
    journal_poll_s: Seconds = 0.5
    """How often the journal is looked at where no nudge came."""
