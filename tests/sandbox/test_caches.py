"""Each stranger's model has a part of the cache that no other model's child can write."""

from __future__ import annotations

import os
from pathlib import Path

from attnexport.sandbox.caches import cache_of


def cached(tmp_path: Path, content: bytes, *, limit: int = 1 << 20) -> Path:
    model = tmp_path / "model.pt2"
    model.write_bytes(content)
    return cache_of(model, tmp_path / "cache", limit)


def test_files_of_one_content_share_a_folder_and_no_others_do(tmp_path: Path):
    folder = cached(tmp_path, b"one")
    assert cached(tmp_path, b"one") == folder
    assert cached(tmp_path, b"two") != folder
    assert folder.is_relative_to(tmp_path / "cache")
    assert folder.stat().st_mode & 0o077 == 0


def test_the_folders_used_longest_ago_make_room(tmp_path: Path):
    folders = [cached(tmp_path, content) for content in (b"oldest", b"older", b"old")]
    for age, folder in enumerate(folders):
        (folder / "outputs.npz").write_bytes(bytes(1000))
        os.utime(folder, (age, age))
    kept = cached(tmp_path, b"new", limit=2500)
    assert sorted(kept.parent.iterdir()) == sorted([*folders[1:], kept])
