"""What is kept on disk for the next time: bounded, whole or not at all."""

import os
from pathlib import Path

import pytest
from alpa_mlir.disk_cache import ABSENT, DiskCache, default_cache_dir

DATA = {"numbers": list(range(50)), "none": None}


def test_what_is_read_was_written(tmp_path: Path) -> None:
    DiskCache(tmp_path / "new").write("a", DATA)
    DiskCache(tmp_path / "new").write("b", None)
    assert DiskCache(tmp_path / "new").read("a") == DATA
    assert DiskCache(tmp_path / "new").read("b") is None
    assert DiskCache(tmp_path / "new").read("c") is ABSENT


def test_damaged_files_are_absent(tmp_path: Path) -> None:
    for text in ("", "{", "[" * 100_000):
        (tmp_path / "a.json").write_text(text)
        assert DiskCache(tmp_path).read("a") is ABSENT


def test_files_used_least_make_room(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    cache.write("0", DATA)
    size = (tmp_path / "0.json").stat().st_size
    cache = DiskCache(tmp_path, max_bytes=10 * size)
    for number in range(10):
        cache.write(str(number), DATA)
        os.utime(tmp_path / f"{number}.json", (number, number))
    cache.read("0")  # used last, though written first
    cache.write("10", DATA)
    kept = {path.stem for path in tmp_path.glob("*.json")}
    assert {"0", "10"} <= kept
    assert not {"1", "2"} & kept
    assert sum(path.stat().st_size for path in tmp_path.glob("*.json")) <= 10 * size


def test_a_folder_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = DiskCache(tmp_path / "file")
    cache.write("a", DATA)
    assert cache.read("a") is ABSENT


def test_the_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPA_MLIR_CACHE_DIR", "/somewhere/else")
    assert default_cache_dir() == Path("/somewhere/else")
