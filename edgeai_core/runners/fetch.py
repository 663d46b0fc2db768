"""Fetching of a model that a card names but does not come with: by its digest, or not at all."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from edgeai_core.app import Progress
from edgeai_core.errors import ModelError
from edgeai_core.runners.card import ModelCard, card_path, digest_of, write_card, write_whole

MAX_FETCHED_BYTES = 512 << 20
_PIECE_BYTES = 1 << 16
_TIMEOUT_S = 30.0


def fetched_path(models: Path, card: ModelCard) -> Path:
    """Return where a fetched model lies in the state's folder of models."""
    return models / card.task / card.version / card.file


def fetch(card: ModelCard, models: Path, progress: Progress, address: str | None = None) -> Path:
    """Fetch the card's model into ``models`` with its card beside it, and return where it lies.

    One that is there already is kept. ``address`` is another place with the same file, a mirror say: what
    comes from there must have the card's digest all the same. Raises ModelError where the card names no source,
    and where the file does not come, is too large or is another; then nothing is left behind.
    """
    path = fetched_path(models, card)
    if path.is_file() and digest_of(path) == card.digest:
        write_card(card, card_path(path))
        return path
    address = address or card.source
    if not address:
        raise ModelError(f"model {card.name} {card.version}: its card names no source to fetch it from")
    data = _download(address, card, progress)
    digest = hashlib.sha256(data).hexdigest()
    if digest != card.digest:
        raise ModelError(
            f"{address}: this is not model {card.name} {card.version}: its SHA-256 is {digest}, the card's "
            f"{card.digest}; nothing was kept"
        )
    write_whole(path, data)
    write_card(card, card_path(path))
    return path


def _download(address: str, card: ModelCard, progress: Progress) -> bytes:
    if urlsplit(address).scheme not in ("https", "http"):  # the digest vouches for the content, on either
        raise ModelError(f"{address}: a model is fetched from an http or https address")
    what = f"fetching {card.name}"
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - the scheme is checked
            total = int(answer.headers.get("Content-Length") or 0)
            if total > MAX_FETCHED_BYTES:
                raise ModelError(f"{address}: {total} bytes; a model may have {MAX_FETCHED_BYTES}")
            pieces, size = [], 0
            while piece := answer.read(_PIECE_BYTES):
                pieces.append(piece)
                size += len(piece)
                if size > MAX_FETCHED_BYTES:
                    raise ModelError(f"{address}: more than {MAX_FETCHED_BYTES} bytes; nothing was kept")
                progress(what, size, max(total, size))
    except urllib.error.HTTPError as error:
        raise ModelError(f"{address}: the server answered {error.code} {error.reason}") from error
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise ModelError(
            f"{address}: cannot be fetched: {reason}; fetch it elsewhere and name it with --from"
        ) from error
    if total and size < total:
        raise ModelError(f"{address}: ended after {size} of {total} bytes; nothing was kept")
    return b"".join(pieces)
