"""A folder of the C++ core sees its own headers and those of the folders that its target names."""

import os
import re
import subprocess
from pathlib import Path

import pytest

CORE = Path(__file__).resolve().parents[2] / "cpp" / "core"
CALLS = re.findall(
    r"^alpa_core_folder\((\w+) (\S+?)((?: \w+)*)\)", (CORE / "CMakeLists.txt").read_text(), re.M
)
FOLDERS = {name: folder for name, folder, _ in CALLS}
NAMED = {name: named.split() for name, _, named in CALLS}
HEADERS = {name: min((CORE / folder).glob("*.h")) for name, folder in FOLDERS.items()}


def visible(name: str) -> set[str]:
    """The folder itself, what it names, and what those name."""
    return {name}.union(*(visible(other) for other in NAMED[name]))


@pytest.fixture(scope="module")
def include_flags(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    build = tmp_path_factory.mktemp("folders")
    source = Path(__file__).parent / "folders"
    configure = ["cmake", "-G", "Ninja", "-S", source, "-B", build, f"-DCORE={CORE}"]
    subprocess.run(configure, check=True, capture_output=True)
    lines = {name: (build / f"alpa_{name}.txt").read_text().split() for name in FOLDERS}
    return {name: [f"-I{directory}" for directory in lines[name]] for name in FOLDERS}


def compiles(code: str, flags: list[str]) -> bool:
    command = [
        os.environ.get("CXX", "c++"),
        "-std=c++17",
        "-fsyntax-only",
        "-x",
        "c++",
        *flags,
        "-",
    ]
    result = subprocess.run(command, input=code, text=True, capture_output=True)
    assert result.returncode == 0 or "No such file" in result.stderr, result.stderr
    return result.returncode == 0


def test_every_folder_has_a_target() -> None:
    assert {str(f.parent.relative_to(CORE)) for f in CORE.rglob("*.h")} == set(FOLDERS.values())


@pytest.mark.parametrize("name", FOLDERS)
def test_folder_sees_what_it_names_only(name: str, include_flags: dict[str, list[str]]) -> None:
    includes = {other: f'#include "core/{h.relative_to(CORE)}"' for other, h in HEADERS.items()}
    seen = {other for other, code in includes.items() if compiles(code, include_flags[name])}
    assert seen == visible(name)
