"""The MCAP file of a recording: written so that it survives being killed, read as far as it is whole."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import lz4.frame
import zstandard
from mcap.exceptions import McapError
from mcap.records import Channel, Chunk, Message, Metadata, Schema
from mcap.stream_reader import StreamReader, breakup_chunk
from mcap.writer import CompressionType, Writer

from edgeai_core.alerts import walltime
from edgeai_core.clock import boot_id
from edgeai_core.errors import InputError
from edgeai_core.recording.foxglove import Shown, schema_json

EXACT = "x-edgeai-record"
"""The message encoding of what a replay needs (see ``edgeai_core.recording.record``)."""

EXACT_TOPIC = "/edgeai/"
"""Before ``<app>.<loop>``: the channel of a loop's exact records."""

METADATA = "edgeai"
_CHUNK_BYTES = 256 << 10
_FLUSH_EVERY_S = 1.0
_MAX_RECORD_BYTES = 300 << 20
_SUMMARY_BYTES = 1 << 20  # kept free of a budget for the file's index

log = logging.getLogger("edgeai.recording")


@dataclass(frozen=True)
class Entry:
    """One message of a recording, encoded. Times are nanoseconds since 1970. An exact record has no schema."""

    topic: str
    log_ns: int
    data: bytes
    schema: str = ""
    publish_ns: int = 0
    lossy: bool = False


def shown_entry(topic: str, shown: Shown, log_ns: int, publish_ns: int = 0) -> Entry:
    """Return the entry of a message for people; what is lossy is on a channel named a preview."""
    if shown.lossy:
        topic += "/preview"
    data = json.dumps(shown.message, separators=(",", ":")).encode()
    return Entry(topic, log_ns, data, shown.schema, publish_ns, shown.lossy)


class RecordingFile:
    """Writes entries into a new MCAP file: chunks of at most a second, so that little is lost with a kill.

    ``budget_bytes`` bounds the file: what would pass it is refused, ``full`` says so. ``clock_ns`` is what to add to
    the monotonic clock for wall time. Raises InputError where the file cannot be made. Use from one thread.
    """

    def __init__(
        self,
        path: Path,
        clock_ns: int,
        budget_bytes: int | None = None,
        about: Mapping[str, str] | None = None,
    ) -> None:
        self.path = path
        self.full = False
        self._budget = budget_bytes
        try:
            self._file = path.open("xb")
        except FileExistsError:
            raise InputError(f"{path}: is there already; a recording takes nothing's place") from None
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror}") from error
        os.chmod(path, 0o600)  # what a patient's sensor said is nobody else's business
        self._writer = Writer(self._file, chunk_size=_CHUNK_BYTES, compression=CompressionType.LZ4)
        self._writer.start("", f"edgeai {_version()}")
        moment = walltime.now()
        self._writer.add_metadata(METADATA, {
            "version": _version(), "boot_id": boot_id(), "began_at": moment.iso,
            "clock_synchronised": str(moment.synchronised).lower(), "monotonic_to_wall_ns": str(clock_ns),
            **(about or {}),
        })  # fmt: skip
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, tuple[int, int]] = {}
        self._flushed_s = time.monotonic()
        self._flush()

    @property
    def size(self) -> int:
        """Bytes in the file, less what waits in the open chunk."""
        return self._file.tell()

    def write(self, entry: Entry) -> bool:
        """Add one entry; False where the budget, or the disk, is full. Never raises."""
        if self.full:
            return False
        if (
            self._budget is not None
            and self.size + len(entry.data) + _CHUNK_BYTES + _SUMMARY_BYTES > self._budget
        ):
            self._end(f"{self._budget / 1e6:g} MB are reached")
            return False
        try:
            channel, count = self._channel(entry)
            self._channels[entry.topic] = (channel, count + 1)
            self._writer.add_message(
                channel, entry.log_ns, entry.data, entry.publish_ns or entry.log_ns, count
            )
        except OSError as error:
            self._end(error.strerror or str(error))
            return False
        return True

    def tick(self) -> None:
        """Bring what has come to the disk, at most once a second."""
        if not self.full and time.monotonic() - self._flushed_s >= _FLUSH_EVERY_S:
            try:
                self._flush()
            except OSError as error:
                self._end(error.strerror or str(error))

    def close(self) -> None:
        """Write the index and close."""
        try:
            if not self.full:
                self._writer.finish()  # type: ignore[no-untyped-call]
            self._file.close()
        except OSError as error:
            log.error("%s: its end could not be written: %s; it reads up to there", self.path, error.strerror)

    def _channel(self, entry: Entry) -> tuple[int, int]:
        known = self._channels.get(entry.topic)
        if known is not None:
            return known
        schema = 0
        if entry.schema:
            if entry.schema not in self._schemas:
                text = json.dumps(schema_json(entry.schema)).encode()
                self._schemas[entry.schema] = self._writer.register_schema(entry.schema, "jsonschema", text)
            schema = self._schemas[entry.schema]
        encoding = "json" if entry.schema else EXACT
        about = {"lossy": "true"} if entry.lossy else {}
        return self._writer.register_channel(entry.topic, encoding, schema, about), 0

    def _flush(self) -> None:
        # The library ends a chunk by its size alone; what is slow must reach the disk too. Without this private
        # method (another release of the library) a chunk still ends when it is full.
        end_chunk = getattr(self._writer, "_Writer__finalize_chunk", None)
        if end_chunk is not None:
            end_chunk()
        self._file.flush()
        self._flushed_s = time.monotonic()

    def _end(self, why: str) -> None:
        self.full = True
        log.warning("%s: recording stops: %s", self.path, why)
        try:
            self._writer.finish()  # type: ignore[no-untyped-call]
            self._file.flush()
        except OSError as error:
            log.error("%s: its end could not be written: %s; it reads up to there", self.path, error.strerror)


@dataclass
class ReadState:
    """How far a file could be read. ``damaged`` counts chunks that were skipped; ``whole``: its end was found."""

    metadata: dict[str, str] = field(default_factory=dict)
    channels: dict[str, Mapping[str, str]] = field(default_factory=dict)
    damaged: int = 0
    whole: bool = False


def read_entries(path: Path, state: ReadState | None = None) -> Iterator[Entry]:
    """Yield the entries of an MCAP file in the order in which they were written; of a cut file up to its last chunk.

    ``state`` is filled as reading goes on. Raises InputError for a file that is no MCAP at all.
    """
    state = ReadState() if state is None else state
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    with file:
        reader = StreamReader(file, emit_chunks=True, record_size_limit=_MAX_RECORD_BYTES)
        schemas: dict[int, Schema] = {}
        channels: dict[int, Channel] = {}
        records = reader.records
        first = True
        while True:
            try:
                record = next(records)
            except StopIteration:
                state.whole = True
                return
            except Exception as error:  # the library raises what it meets: a short file in many ways
                if first:
                    raise InputError(f"{path}: is no MCAP file: {error}") from error
                return
            first = False
            if isinstance(record, Metadata) and record.name == METADATA:
                state.metadata.update(record.metadata)
            elif isinstance(record, Chunk):
                yield from _entries_of(record, schemas, channels, state)
            elif isinstance(record, Message):
                yield _entry(record, schemas, channels)


def _entries_of(
    chunk: Chunk, schemas: dict[int, Schema], channels: dict[int, Channel], state: ReadState
) -> Iterator[Entry]:
    try:
        data = _unpacked(chunk)
        whole = Chunk(
            "", data, chunk.message_end_time, chunk.message_start_time, chunk.uncompressed_crc, len(data)
        )
        records = breakup_chunk(whole, validate_crc=True)
    except Exception:  # of whatever kind: a chunk that is damaged is skipped, and counted
        state.damaged += 1
        return
    for record in records:
        if isinstance(record, Schema):
            schemas[record.id] = record
        elif isinstance(record, Channel):
            channels[record.id] = record
            state.channels[record.topic] = record.metadata
        elif isinstance(record, Message) and record.channel_id in channels:
            yield _entry(record, schemas, channels)


def _entry(message: Message, schemas: Mapping[int, Schema], channels: Mapping[int, Channel]) -> Entry:
    channel = channels[message.channel_id]
    schema = schemas.get(channel.schema_id)
    exact = channel.message_encoding == EXACT
    return Entry(
        channel.topic,
        message.log_time,
        message.data,
        "" if exact else schema.name if schema else channel.message_encoding,
        message.publish_time,
        channel.metadata.get("lossy") == "true",
    )


def _version() -> str:
    try:
        return version("edgeai")
    except PackageNotFoundError:
        return "unknown"


def _unpacked(chunk: Chunk) -> bytes:
    """Return a chunk's records, which never take more room than the file says and than there is a limit for."""
    size = chunk.uncompressed_size
    if size > _MAX_RECORD_BYTES:
        raise McapError(f"a chunk of {size} bytes")
    if chunk.compression == "lz4":
        data: Any = lz4.frame.LZ4FrameDecompressor().decompress(chunk.data, max_length=size + 1)
    elif chunk.compression == "zstd":
        with zstandard.ZstdDecompressor().stream_reader(chunk.data) as stream:
            data = stream.read(size + 1)
    else:
        data = chunk.data
    if len(data) != size:
        raise McapError("a chunk does not hold what it says")
    return bytes(data)
