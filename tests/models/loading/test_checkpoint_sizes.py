"""Files of torch.save take no more memory than they have bytes."""

from __future__ import annotations

import io
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from attnexport.errors import InputError
from attnexport.models.loading.checkpoint_sizes import check_checkpoint

PATH = Path("w.pt")
HUGE = b"\x8a\x06" + (1 << 40).to_bytes(6, "little")
"""LONG1 of a pickle."""


def saved(value: object, legacy: bool = False) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


def edited(data: bytes, old: bytes, new: bytes, compression: int = zipfile.ZIP_STORED) -> bytes:
    """The archive with bytes of its pickle exchanged."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as given, zipfile.ZipFile(stream, "w", compression) as written:
        for name in given.namelist():
            content = given.read(name)
            if name.endswith("data.pkl"):
                assert old in content
                content = content.replace(old, new, 1)
            written.writestr(name, content)
    return stream.getvalue()


STATE = {"w": torch.arange(4.0), "tied": torch.zeros(2, 3).expand(5, 2, 3), "half": torch.ones(3).half()}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "value", [STATE, OrderedDict(STATE), {"state_dict": STATE, "step": 1 << 60, "lr": 1e-3}, torch.nn.Linear(2, 3)]
)
def test_what_torch_saved_passes(value, legacy):
    check_checkpoint(PATH, saved(value, legacy))


def test_compressed_records_are_refused():
    data = edited(saved({"w": torch.zeros(1 << 20)}), b"", b"", zipfile.ZIP_DEFLATED)
    assert len(data) < 1 << 17
    with pytest.raises(InputError, match=r"w\.pt: the record .* is compressed"):
        check_checkpoint(PATH, data)


def test_more_elements_than_the_file_has_bytes():
    with pytest.raises(InputError, match=r"w\.pt: a tensor of 1099511627776 elements, expected at most the \d+ bytes"):
        check_checkpoint(PATH, edited(saved({"w": torch.arange(4.0)}), b"K\x04tq", HUGE + b"tq"))


def test_more_elements_than_the_file_has_bytes_in_the_old_format():
    data = saved({"w": torch.arange(77.0)}, legacy=True)
    assert data.count(b"K\x4dNtq") == 1
    with pytest.raises(InputError, match="a tensor of 1099511627776 elements"):
        check_checkpoint(PATH, data.replace(b"K\x4dNtq", HUGE + b"Ntq"))


def test_a_call_that_allocates():
    with pytest.raises(InputError, match=r"w\.pt: calls builtins\.bytearray"):
        check_checkpoint(
            PATH, edited(saved({"w": torch.ones(2)}), b"}q", b"cbuiltins\nbytearray\n" + HUGE + b"\x85R0}q")
        )


def test_a_key_that_takes_for_ever_to_hash():
    """Fifty tuples, each of which holds the one before twice."""
    doubled = b"(t" + b"".join(b"q%ch%ch%c\x86" % (200, 200, 200) for _ in range(50))
    with pytest.raises(InputError, match="tuples in tuples"):
        check_checkpoint(PATH, edited(saved({"w": torch.ones(2)}), b"X\x01\x00\x00\x00w", doubled))


def test_tuples_that_are_used_again_pass():
    betas = (0.9, 0.999)
    groups = [{"betas": betas, "of": (betas, betas)} for _ in range(100)]
    check_checkpoint(PATH, saved({"state_dict": STATE, "optimizer": {"param_groups": groups}}))
