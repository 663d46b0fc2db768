"""Pictures of rejects kept as evidence, within a budget of bytes: the oldest go first."""

from __future__ import annotations

import queue
import re
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.manufacturing.inspection.decide import InspectionOutput, PartResult
from edgeai_core.errors import ConfigError
from edgeai_core.log import get_logger
from edgeai_core.loop.cycle import Cycle

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

JPEG_QUALITY = 88

_QUEUE = 32
_log = get_logger("evidence")


@dataclass(frozen=True)
class _Item:
    pixels: NDArray[np.uint8]
    part: PartResult


class EvidenceSink:
    """Writes a JPEG of every rejected part, with its defects marked, to ``folder``; ``dropped`` counts what it could not.

    Writing is done by a thread of its own: a slow disk costs pictures, never a decision.
    """

    def __init__(self, folder: Path, budget_bytes: int, source: str) -> None:
        self.dropped = 0
        self._folder, self._budget, self._source = folder, budget_bytes, source
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"the folder for evidence {folder} cannot be made: {error.strerror}") from error
        self._queue: queue.Queue[_Item | None] = queue.Queue(_QUEUE)
        self._thread = threading.Thread(target=self._write_all, name="evidence", daemon=True)
        self._thread.start()

    def put(self, cycle: Cycle[InspectionOutput]) -> None:
        """Take the rejects of one cycle."""
        view = cycle.snapshot.views.get(self._source)
        decision = cycle.late or cycle.decision
        if view is None or len(view.samples) != len(decision.output.parts):
            return
        for sample, part in zip(view.samples, decision.output.parts, strict=True):
            if part.verdict != "reject":
                continue
            try:
                self._queue.put_nowait(_Item(sample.data.pixels, part))
            except queue.Full:
                self.dropped += 1

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what is waiting, and end."""
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _write_all(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                self._write(item)
            except OSError as error:
                self.dropped += 1
                _log.warning("evidence cannot be written", folder=str(self._folder), reason=error.strerror)

    def _write(self, item: _Item) -> None:
        import cv2

        ok, packed = cv2.imencode(".jpg", marked(item.pixels, item.part), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not ok:
            self.dropped += 1
            return
        data = packed.tobytes()
        self._make_room(len(data))
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        name = re.sub(r"[^0-9A-Za-z._-]", "_", Path(item.part.name).stem)[:60]
        (self._folder / f"{stamp}_{item.part.number}_{name}.jpg").write_bytes(data)

    def _make_room(self, wanted: int) -> None:
        files = sorted(self._folder.glob("*.jpg"))
        sizes = {path: path.stat().st_size for path in files}
        total = sum(sizes.values())
        for path in files:
            if total + wanted <= self._budget:
                return
            path.unlink(missing_ok=True)
            total -= sizes[path]


def marked(pixels: NDArray[np.uint8], part: PartResult) -> NDArray[np.uint8]:
    """Return the picture in colour with a box round every defect."""
    import cv2
    import numpy as np

    shown: Any = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR) if pixels.ndim == 2 else pixels.copy()
    for defect in part.defects:
        x1, y1, x2, y2 = defect.box
        cv2.rectangle(shown, (x1, y1), (x2 - 1, y2 - 1), (0, 0, 255), max(1, max(shown.shape) // 300))
    return np.asarray(shown, np.uint8)
