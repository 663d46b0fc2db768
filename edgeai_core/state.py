"""The state folder: everything EdgeAI keeps between runs, in one place with one owner."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edgeai_core.errors import ConfigError

STATE_VARIABLE = "EDGEAI_STATE"


@dataclass(frozen=True)
class State:
    """The paths inside one state folder. Nothing is created until ``create``."""

    root: Path

    @property
    def journal(self) -> Path:
        """The alert journal."""
        return self.root / "journal.sqlite3"

    @property
    def tokens(self) -> Path:
        """The hashed bearer tokens of the HTTP server."""
        return self.root / "tokens.toml"

    @property
    def webhooks(self) -> Path:
        """The receivers of webhooks, with their secrets."""
        return self.root / "webhooks.toml"

    @property
    def models(self) -> Path:
        """Models taught on this device, as ``models/<task>/<version>``."""
        return self.root / "models"

    @property
    def cache(self) -> Path:
        """What can be made again."""
        return self.root / "cache"

    @property
    def evidence(self) -> Path:
        """What alerts point to."""
        return self.root / "evidence"

    @property
    def recordings(self) -> Path:
        """Recorded runs."""
        return self.root / "recordings"

    @property
    def run(self) -> Path:
        """What only matters while processes run: statistics, sockets, the server's address."""
        return self.root / "run"

    def statistics(self, app: str, loop: str) -> Path:
        """The memory-mapped statistics file of one loop."""
        return self.run / f"{app}.{loop}.stats"

    def create(self) -> State:
        """Make the folders, readable by their owner alone. Raises ConfigError where that is impossible."""
        for folder in (self.root, self.models, self.cache, self.evidence, self.recordings, self.run):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigError(
                    f"the state folder {self.root} cannot be used: {error.strerror} ({folder}); "
                    f"name another with --state or {STATE_VARIABLE}"
                ) from error
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise ConfigError(
                f"the state folder {self.root} is not writable by this user; "
                f"name another with --state or {STATE_VARIABLE}"
            )
        return self


def find_state(folder: Path | None = None) -> State:
    """Return the state in ``folder``, else in ``$EDGEAI_STATE``, else in ``~/.local/state/edgeai``."""
    if folder is None:
        named = os.environ.get(STATE_VARIABLE)
        folder = Path(named) if named else Path.home() / ".local" / "state" / "edgeai"
    return State(folder.expanduser().absolute())
