"""Files are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from alpa_mlir.errors import PlanError
from alpa_mlir.files import check_can_write, replacing, write_text


def test_file_is_written_and_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    write_text(file, "first", PlanError)
    file.chmod(0o640)
    write_text(file, "second \N{SNOWMAN}", PlanError)
    assert file.read_text(encoding="utf-8") == "second \N{SNOWMAN}"
    assert file.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["plan.json"]


def test_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_text(tmp_path / "link", "text", PlanError)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "text"


def test_pipe_is_written_to(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    check_can_write(f"/dev/fd/{writing}", PlanError)
    write_text(f"/dev/fd/{writing}", "text", PlanError)
    os.close(writing)
    assert os.read(reading, 100) == b"text"
    os.close(reading)


def broken(folder: Path) -> list[str]:
    (folder / "folder").mkdir()
    names = ["folder", "absent/file", "x" * 300, "a\0b", "file/below"]
    (folder / "file").write_text("kept")
    return [f"{folder}/{name}" for name in names]


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    refusal = r"^cannot write [\s\S]*; name another file$"
    for path in broken(tmp_path):
        with pytest.raises(PlanError, match=refusal):
            check_can_write(path, PlanError)
        with pytest.raises(PlanError, match=refusal):
            write_text(path, "", PlanError)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "kept"


def interrupt(file: Path) -> None:
    with replacing(file, PlanError) as beside:
        beside.write_text("half")
        raise KeyboardInterrupt


def test_file_stays_where_writing_fails(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text("kept")
    with pytest.raises(PlanError, match="cannot write"):
        write_text(file, "half a pair: \ud800", PlanError)
    with pytest.raises(KeyboardInterrupt):
        interrupt(file)
    assert os.listdir(tmp_path) == ["plan.json"]
    assert file.read_text() == "kept"


def test_looking_leaves_everything_as_it_is(tmp_path: Path) -> None:
    check_can_write(tmp_path / "plan.json", PlanError)
    assert os.listdir(tmp_path) == []
