"""One door per foreign thing: says where code reaches past a door, and fails if it does.

What changes outside this repository (private JAX, MLIR, names of StableHLO ops, Shardy's syntax) is
known to one place each, so that a new release is followed there and nowhere else. This reads what
import-linter cannot tell apart (it sees a foreign package as a whole, and no C++); the floors and
the doors to whole packages are its contracts, in pyproject.toml.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Door:
    """`pattern` may match only in files under one of `doors`, paths from the root."""

    what: str
    pattern: re.Pattern[str]
    doors: tuple[str, ...]

    def open_for(self, path: str) -> bool:
        return path.startswith(self.doors)


PYTHON_IMPORTS = (
    Door(
        "private JAX",
        re.compile(r"(jax\._|jaxlib\b|.*\._src\b)"),
        ("python/alpa_mlir/compat.py",),
    ),
    Door(
        "jaxlib's MLIR",
        re.compile(r"jax\.(extend|interpreters)\.mlir\b"),
        ("python/alpa_mlir/compat.py", "python/alpa_mlir/ir/", "tests/"),
    ),
    Door(
        "the package's public names",  # whose import would be a circle
        re.compile(r"alpa_mlir\.(?!_)[A-Za-z]*$"),
        ("python/alpa_mlir/cli/", "tests/"),
    ),
)

CXX_CODE = (
    Door(
        "an MLIR or LLVM header",
        re.compile(r'#include ["<](mlir|llvm)(-c)?/'),
        ("passes/",),
    ),
    Door(
        "the name of a StableHLO op",
        re.compile(r'"(stable|c|m|v)hlo\.[a-z_]*'),
        ("passes/lib/IR/Stablehlo",),
    ),
    Door(
        "the syntax of a Shardy attribute",
        re.compile(r'"#sdy\.[a-z_]*'),
        ("passes/lib/IR/ShardyText.cpp",),
    ),
)


def imported_names(source: str) -> Iterator[tuple[int, str]]:
    """(line, module or module.name) of everything imported, attributes of jax included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Attribute) and node.attr == "_src":
            yield node.lineno, ast.unparse(node)


def code_lines(source: str) -> Iterator[tuple[int, str]]:
    """(line number, line without its comment); a comment may name what code may not."""
    without_blocks = re.sub(
        r"/\*.*?\*/", lambda match: "\n" * match.group().count("\n"), source, flags=re.DOTALL
    )
    for number, line in enumerate(without_blocks.splitlines(), start=1):
        yield number, re.sub(r'^((?:[^"/]|"(?:\\.|[^"\\])*"|/(?!/))*)//.*', r"\1", line)


def trespasses() -> Iterator[str]:
    python = [*(ROOT / "python").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    for path in sorted(python):
        name = path.relative_to(ROOT).as_posix()
        for line, imported in imported_names(path.read_text()):
            yield from found(PYTHON_IMPORTS, name, line, imported, re.match)
    for folder in ("cpp", "passes"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix not in {".cpp", ".h"}:
                continue
            name = path.relative_to(ROOT).as_posix()
            for line, code in code_lines(path.read_text()):
                yield from found(CXX_CODE, name, line, code, re.search)


def found(
    doors: tuple[Door, ...],
    name: str,
    line: int,
    text: str,
    match: Callable[[re.Pattern[str], str], re.Match[str] | None],
) -> Iterator[str]:
    for door in doors:
        if match(door.pattern, text) and not door.open_for(name):
            yield f"{name}:{line}: {door.what} outside {' and '.join(door.doors)}: {text.strip()}"


if __name__ == "__main__":
    messages = list(trespasses())
    print("\n".join(messages) or "import doors: each foreign thing behind its door")
    sys.exit(bool(messages))
