"""Logs on standard error: ``time level process message key=value``, or a JSON object a line."""

from __future__ import annotations

import json
import logging
import sys
import time

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def set_up_logging(process: str, *, as_json: bool = False, level: int = logging.INFO) -> None:
    """Send this process's logs to standard error. ``process`` names it: ``supervisor``, ``healthcare.ecg``.

    What is passed as ``extra`` becomes ``key=value``: ``log.info("loop died", extra={"loop": name})``.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines(process) if as_json else _TextLines(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


class _TextLines(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        parts = [_wall_time(record), record.levelname.lower(), self._process, _one_line(record.getMessage())]
        parts += [f"{key}={_quoted(value)}" for key, value in _extra(record).items()]
        if record.exc_info:
            parts.append("\n" + self.formatException(record.exc_info))
        return " ".join(parts)


class _JsonLines(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": _wall_time(record),
            "level": record.levelname.lower(),
            "process": self._process,
            "message": record.getMessage(),
        }
        entry.update(_extra(record))
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _wall_time(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n").replace("\r", "\\r")


def _quoted(value: object) -> str:
    text = _one_line(str(value))
    return json.dumps(text, ensure_ascii=False) if not text or any(c in text for c in ' "=') else text
