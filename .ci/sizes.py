"""Fails where a function has more than 60 lines, or a file of code or tests more than 400.

    python .ci/sizes.py [FILE ...]      # without files: all of the repository's

Docstrings do not count. What must be longer says why in a comment on the line above it, and above a
function's decorators; for a whole file that is its first line:

    # long: the table of all ops, one line each
    // long: ...
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 400
SUFFIXES = {".py", ".cpp", ".h", ".mlir", ".test"}

REASON = re.compile(r"\s*(#|//) long: \S")
NOT_CODE = re.compile(
    r'^\s*#(\\\n|[^\n])*|R"(?P<tag>\w*)\(.*?\)(?P=tag)"|//[^\n]*|/\*.*?\*/|"(\\.|[^"\\\n])*"|\'(\\.|[^\'\\\n])+\'',
    re.DOTALL | re.MULTILINE,
)
SCOPE = re.compile(r"(template\s*<.*>\s*)?(inline\s+)?(namespace|extern|class|struct|union|enum)\b")
BOUNDARY = re.compile(r"[{};\n]|\b(?:public|private|protected):")


@dataclass(frozen=True)
class Function:
    name: str
    first_line: int
    num_lines: int


def python_functions(source: str) -> Iterator[Function]:
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        num_lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if ast.get_docstring(node):
            docstring = node.body[0]
            num_lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        yield Function(node.name, first, num_lines)


def cxx_functions(source: str) -> Iterator[Function]:
    """Blocks with parentheses before their brace that are in nothing but namespaces and classes."""
    code = NOT_CODE.sub(lambda match: "\n" * match.group().count("\n"), source)
    open_blocks: list[Function | None] = []  # None for what is no function
    scopes: list[bool] = []
    header, header_line, line = "", 1, 1
    position = 0
    for boundary in BOUNDARY.finditer(code):
        text = code[position : boundary.start()].strip()
        if text and not header:
            header_line = line
        header = f"{header} {text}".strip()
        position = boundary.end()
        match boundary.group():
            case "\n":
                line += 1
                continue
            case "{":
                is_scope = bool(SCOPE.match(header)) and "(" not in header.partition(":")[0]
                is_function = all(scopes) and not is_scope and "(" in header
                name = re.sub(r"\(.*", "", header, flags=re.DOTALL).split()[-1:] if header else []
                begun = Function(" ".join(name), header_line, 0) if is_function else None
                open_blocks.append(begun)
                scopes.append(is_scope)
            case "}" if open_blocks:
                ended = open_blocks.pop()
                scopes.pop()
                if ended is not None:
                    yield Function(ended.name, ended.first_line, line - ended.first_line + 1)
            case _:
                pass
        header = ""


def complaints(path: Path) -> Iterator[str]:
    source = path.read_text()
    lines = source.splitlines()
    name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    if len(lines) > MAX_FILE_LINES and not REASON.match(lines[0]):
        yield f"{name}: expected at most {MAX_FILE_LINES} lines, got {len(lines)}"
    functions: Iterator[Function] = iter(())
    if path.suffix == ".py":
        functions = python_functions(source)
    elif path.suffix in {".cpp", ".h"}:
        functions = cxx_functions(source)
    for function in functions:
        above = lines[function.first_line - 2] if function.first_line > 1 else ""
        if function.num_lines > MAX_FUNCTION_LINES and not REASON.match(above):
            yield (
                f"{name}:{function.first_line}: expected at most {MAX_FUNCTION_LINES} lines in "
                f"{function.name}, got {function.num_lines}"
            )


def files_of_repository() -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    paths = (ROOT / line for line in listed.stdout.splitlines())
    return [path for path in paths if path.suffix in SUFFIXES and path.exists()]


if __name__ == "__main__":
    paths = [Path(argument).resolve() for argument in sys.argv[1:]] or files_of_repository()
    messages = [message for path in sorted(paths) for message in complaints(path)]
    print("\n".join(messages) or "sizes: no function and no file is too long")
    sys.exit(bool(messages))
