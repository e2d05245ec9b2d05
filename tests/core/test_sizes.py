"""The linter's limits on the sizes of functions and files: what breaks them is named."""

import subprocess
import sys
from pathlib import Path

import pytest

SIZES = Path(__file__).resolve().parents[2] / ".ci" / "sizes.py"


def found(file: Path, text: str) -> list[str]:
    file.write_text(text)
    command = [sys.executable, SIZES, file]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line.partition(file.name)[2] for line in result.stdout.splitlines()]
    assert result.returncode == (1 if any(lines) else 0), result.stderr
    return [line for line in lines if line]


def python_function(num_statements: int) -> str:
    return "@cache\ndef f():\n" + '    """Text.\n\n    More."""\n' + "    pass\n" * num_statements


def cxx_function(num_statements: int) -> str:
    body = '    if (x) { // "}\n' + "      x('}');\n" * num_statements + "    }\n"
    return (
        f"#if defined(A)\nnamespace a {{\nclass B {{\n  void\n  f(int x) {{\n{body}  }}\n}};\n}}\n"
    )


@pytest.mark.parametrize(
    ("suffix", "longest", "too_long", "comment", "line"),
    [
        (".py", python_function(59), python_function(60), "#", 1),
        (".cpp", cxx_function(55), cxx_function(56), "//", 4),
        (".h", cxx_function(55), cxx_function(56), "//", 4),
    ],
    ids=["python", "cxx", "header"],
)
def test_function_over_60_lines_is_named_unless_it_says_why(
    tmp_path: Path, suffix: str, longest: str, too_long: str, comment: str, line: int
) -> None:
    file = tmp_path / f"file{suffix}"
    assert found(file, longest) == []
    assert found(file, too_long) == [f":{line}: expected at most 60 lines in f, got 61"]
    lines = too_long.splitlines(keepends=True)
    lines.insert(line - 1, f"{comment} long: a table\n")
    assert found(file, "".join(lines)) == []
    lines[line - 1] = f"{comment} long:\n"
    assert len(found(file, "".join(lines))) == 1


@pytest.mark.parametrize(("suffix", "comment"), [(".py", "#"), (".cpp", "//"), (".mlir", "//")])
def test_file_over_400_lines_is_named_unless_it_says_why(
    tmp_path: Path, suffix: str, comment: str
) -> None:
    file = tmp_path / f"file{suffix}"
    assert found(file, f"{comment}\n" * 400) == []
    assert found(file, f"{comment}\n" * 401) == [": expected at most 400 lines, got 401"]
    assert found(file, f"{comment} long: a table\n" + f"{comment}\n" * 400) == []
