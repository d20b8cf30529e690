"""Reading a torch zip archive within its own size, and writing a new one from audited records."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable

from attnexport.models.audit.shapes import Refusal, shown

MAX_RECORDS = 200_000
_EPOCH = (1980, 1, 1, 0, 0, 0)
_OLD_PROGRAM = "serialized_exported_program.json"
_ENCRYPTED = 0x1


class Records:
    """The records of an archive by their path below its one root folder.

    Raises:
        Refusal: compressed or encrypted records, names that occur twice or leave the root, or sizes beyond the
            file's own.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            raise Refusal("the archive is truncated or damaged (it has no readable table of contents)") from None
        entries = self._zip.infolist()
        if not entries or len(entries) > MAX_RECORDS:
            raise Refusal(f"the archive holds {len(entries)} records, expected 1 to {MAX_RECORDS}")
        if any(entry.filename == _OLD_PROGRAM for entry in entries):
            raise Refusal(
                "a torch.export archive in the format of torch 2.7 and older, whose tensors are pickled: "
                "re-export the model with attnexport.save or a newer torch.export.save"
            )
        self.root = entries[0].filename.partition("/")[0]
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            root, _, name = entry.filename.partition("/")
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & _ENCRYPTED:
                raise Refusal(f"the record {shown(entry.filename)} is compressed or encrypted; torch stores them plain")
            if root != self.root or not name or ".." in name.split("/") or name in self._entries:
                raise Refusal(f"the record {shown(entry.filename)} lies outside the archive's folder or occurs twice")
            if entry.file_size != entry.compress_size:
                raise Refusal(f"the record {shown(entry.filename)} states two different sizes")
            self._entries[name] = entry
        if sum(entry.file_size for entry in entries) > len(data):
            raise Refusal("the records together are larger than the file")

    @property
    def names(self) -> Iterable[str]:
        return self._entries.keys()

    def size(self, name: str) -> int | None:
        entry = self._entries.get(name)
        return None if entry is None else entry.file_size

    def read(self, name: str, limit: int | None = None) -> bytes:
        """The bytes of one record; at most `limit` of them."""
        entry = self._entries.get(name)
        if entry is None:
            raise Refusal(f"the record {name} is missing")
        if limit is not None and entry.file_size > limit:
            raise Refusal(f"the record {name} is {entry.file_size} bytes long, more than {limit}")
        try:
            return self._zip.read(entry)
        except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError):
            raise Refusal(f"the record {name} is damaged") from None


class ArchiveWriter:
    """Writes records as torch's reader expects them: stored, under one folder, without dates."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._zip = zipfile.ZipFile(self._buffer, "w", zipfile.ZIP_STORED)

    def add(self, name: str, data: bytes) -> None:
        self._zip.writestr(zipfile.ZipInfo(f"archive/{name}", _EPOCH), data)

    def __enter__(self) -> ArchiveWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self._zip.close()

    def data(self) -> bytes:
        """The archive, once the writer is left."""
        return self._buffer.getvalue()
