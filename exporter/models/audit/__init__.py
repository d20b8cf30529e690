"""Auditing a .pt2 (torch.export archive) from a stranger before torch reads it.

torch.export.load unpickles, evaluates and executes parts of the file. audit_pt2 reads the file once,
checks every part against allow-lists and builds a new archive that holds nothing but what it checked;
torch then reads that one. What can run code is refused, never skipped; notes that nothing needs
(stack traces, provenance) are dropped.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from attnexport.errors import InputError
from attnexport.models.audit.archive import ArchiveWriter, Records
from attnexport.models.audit.payloads import audit_example_inputs, audit_tensors
from attnexport.models.audit.program import audit_program
from attnexport.models.audit.shapes import Refusal

__all__ = ["AuditedArchive", "audit_pt2", "audit_pt2_bytes"]

MAX_PROGRAM_BYTES = 256 * 2**20
MAX_NOTE_BYTES = 2**20
_PROGRAM = "models/model.json"
_NOTE = "extra/attnexport.json"
_EXAMPLES = "data/sample_inputs/model.pt"


@dataclass(frozen=True)
class AuditedArchive:
    """What of a .pt2 is safe to give to torch.export.load.

    Attributes:
        data: a torch.export archive, rebuilt from the audited parts.
        sha256: hex digest of the file as it was read, not of ``data``.
        notes: small texts that attnexport keeps beside a program, by name; untrusted, parse them as such.
    """

    data: bytes
    sha256: str
    notes: Mapping[str, str]

    def stream(self) -> io.BytesIO:
        """`data` as a file, as torch.export.load takes it."""
        return io.BytesIO(self.data)


def audit_pt2(path: str | os.PathLike[str]) -> AuditedArchive:
    """Reads a .pt2 once and refuses everything in it by which loading or running it could run code.

    Not covered: how much time and memory the model takes, and bugs of torch's own kernels.

    Args:
        path: the file.

    Returns:
        What torch may read.

    Raises:
        InputError: the file cannot be read, is damaged, or holds something that is not on the allow-lists;
            the line names the file, the place in it and what to do instead.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    return audit_pt2_bytes(data, str(path))


def audit_pt2_bytes(data: bytes, name: str) -> AuditedArchive:
    """audit_pt2 for the bytes of a file; `name` is what messages call it."""
    try:
        return _audit(data)
    except Refusal as refusal:
        raise InputError(f"{name}: {refusal}") from None
    except RecursionError:
        raise InputError(f"{name}: the program nests too deeply to be read") from None


def _audit(data: bytes) -> AuditedArchive:
    records = Records(data)
    _refuse_other_kinds(records)
    with ArchiveWriter() as writer:
        notes = _copy_audited(records, writer)
    return AuditedArchive(writer.data(), hashlib.sha256(data).hexdigest(), notes)


def _copy_audited(records: Records, writer: ArchiveWriter) -> dict[str, str]:
    for name, expected in (("archive_format", b"pt2"), ("archive_version", b"0")):
        given = records.read(name, 64)
        if given != expected:
            raise Refusal(f"{name} is {given!r}, this torch reads {expected!r}: re-export the model")
        writer.add(name, given)
    if records.size("byteorder") is not None and records.read("byteorder", 64) != b"little":
        raise Refusal("the tensors are not in little-endian byte order: re-export the model on this machine")
    writer.add("byteorder", b"little")
    writer.add(".data/version", b"6\n")
    writer.add(_PROGRAM, audit_program(records.read(_PROGRAM, MAX_PROGRAM_BYTES)))
    for folder, config in (
        ("data/weights/", "data/weights/model_weights_config.json"),
        ("data/constants/", "data/constants/model_constants_config.json"),
    ):
        rebuilt, needed = audit_tensors(records.read(config, MAX_PROGRAM_BYTES), folder, records.size)
        writer.add(config, rebuilt)
        for name in needed:
            writer.add(name, records.read(name))
    writer.add(_EXAMPLES, audit_example_inputs(records.read(_EXAMPLES)))
    if records.size(_NOTE) is None:
        return {}
    note = records.read(_NOTE, MAX_NOTE_BYTES)
    writer.add(_NOTE, note)
    try:
        return {_NOTE.partition("/")[2]: note.decode("utf-8")}
    except UnicodeDecodeError:
        raise Refusal(f"{_NOTE} is not text") from None


def _refuse_other_kinds(records: Records) -> None:
    names = set(records.names)
    again = "re-export the model with attnexport.save or torch.export.save"
    if any(name.startswith("data/aotinductor/") for name in names):
        raise Refusal(f"the archive holds compiled native code (AOTInductor), which is never loaded: {again}")
    for legacy in ("data/weights/model.pt", "data/constants/model.pt"):
        if legacy in names:
            raise Refusal(f"{legacy} is pickled, and unpickling can run any code: {again} of torch 2.9 or newer")
    for name in sorted(names):
        if name.startswith(("data/constants/custom_obj_", "data/constants/opaque_obj_")):
            raise Refusal(f"{name} is a pickled object, and unpickling can run any code: {again} without it")
    programs = sorted(name for name in names if name.startswith("models/"))
    if programs and programs != [_PROGRAM]:
        raise Refusal(f"the archive holds several or renamed programs ({', '.join(programs)[:200]}): {again}")
    if not programs:
        raise Refusal(f"the archive holds no exported program ({_PROGRAM}): {again}")
