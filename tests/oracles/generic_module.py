"""MLIR's generic form as a tree that can be changed and printed again, without MLIR.

Only as much is understood as mutations need: ops, their operands, regions and types. Attributes are
text. So anything can be written, also what no parser of a dialect would let through.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">"}
_RESULTS = re.compile(r"((?:%[\w$.#:-]+(?:, )?)+) = ")
_NAME = re.compile(r'"((?:[^"\\]|\\.)*)"')
_COMMENT = re.compile(r"  // .*preds?: .*$", re.M)
_LABEL = re.compile(r"(\^\w+)(?:\((.*)\))?:")


@dataclass
class Op:
    """One op. `results` and `operands` are names (`%3`, `%2#1`), types are text."""

    name: str
    results: list[str] = field(default_factory=list[str])
    operands: list[str] = field(default_factory=list[str])
    successors: list[str] = field(default_factory=list[str])
    properties: list[str] = field(default_factory=list[str])
    attributes: list[str] = field(default_factory=list[str])
    regions: list[list[Block]] = field(default_factory=list["list[Block]"])
    operand_types: list[str] = field(default_factory=list[str])
    result_types: list[str] = field(default_factory=list[str])

    def walk(self) -> Iterator[Op]:
        yield self
        for block in self.blocks():
            for op in block.ops:
                yield from op.walk()

    def blocks(self) -> Iterator[Block]:
        for region in self.regions:
            yield from region


@dataclass
class Block:
    label: str = ""
    arguments: list[str] = field(default_factory=list[str])
    argument_types: list[str] = field(default_factory=list[str])
    ops: list[Op] = field(default_factory=list[Op])


def end_of(text: str, start: int) -> int:
    """Where the bracketed text that begins at `start` ends."""
    open_brackets: list[str] = []
    position = start
    while position < len(text):
        character = text[position]
        if character == '"':
            match = _NAME.match(text, position)
            position = match.end() if match else len(text)
            continue
        if text.startswith("->", position):
            position += 2
            continue
        if character in _CLOSING:
            open_brackets.append(_CLOSING[character])
        elif open_brackets and character == open_brackets[-1]:
            open_brackets.pop()
            if not open_brackets:
                return position + 1
        position += 1
    raise ValueError(f"expected balanced brackets, got {text[start : start + 80]!r}")


def split(text: str) -> list[str]:
    """The parts between commas that are in no brackets."""
    parts: list[str] = []
    start = position = 0
    while position < len(text):
        character = text[position]
        if character in _CLOSING:
            position = end_of(text, position)
        elif character == '"':
            match = _NAME.match(text, position)
            position = match.end() if match else len(text)
        elif text.startswith("->", position):
            position += 2
        else:
            if character == ",":
                parts.append(text[start:position].strip())
                start = position + 1
            position += 1
    parts.append(text[start:].strip())
    return [part for part in parts if part]


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def skip(self) -> None:
        while self.position < len(self.text) and self.text[self.position].isspace():
            self.position += 1

    def at(self, token: str) -> bool:
        self.skip()
        return self.text.startswith(token, self.position)

    def expect(self, token: str) -> None:
        if not self.at(token):
            rest = self.text[self.position : self.position + 60]
            raise ValueError(f"expected {token!r}, got {rest!r}")
        self.position += len(token)

    def bracketed(self) -> str:
        self.skip()
        start, self.position = self.position, end_of(self.text, self.position)
        return self.text[start + 1 : self.position - 1]

    def op(self) -> Op:
        self.skip()
        results: list[str] = []
        if match := _RESULTS.match(self.text, self.position):
            self.position = match.end()
            results = _expanded(match[1])
        name = _NAME.match(self.text, self.position)
        if name is None:
            self.expect('"')
            raise AssertionError
        self.position = name.end()
        op = Op(name[1], results, split(self.bracketed()))
        if self.at("["):
            op.successors = split(self.bracketed())
        if self.at("<{"):
            op.properties = split(self.bracketed()[1:-1])
        if self.at("({"):
            self.expect("(")
            while not self.at(")"):
                op.regions.append(self.region())
                if self.at(","):
                    self.expect(",")
            self.expect(")")
        if self.at("{"):
            op.attributes = split(self.bracketed())
        self.expect(":")
        op.operand_types = split(self.bracketed())
        self.expect("->")
        op.result_types = self.types()
        return op

    def types(self) -> list[str]:
        self.skip()
        if self.at("("):
            return split(self.bracketed())
        end = self.text.find("\n", self.position)
        start, self.position = self.position, len(self.text) if end < 0 else end
        return [self.text[start : self.position].strip()]

    def region(self) -> list[Block]:
        self.expect("{")
        blocks: list[Block] = []
        while not self.at("}"):
            label = _LABEL.match(self.text, self.position)
            if label:
                self.position = label.end()
                pairs = [argument.partition(": ") for argument in split(label[2] or "")]
                blocks.append(Block(label[1], [p[0] for p in pairs], [p[2] for p in pairs]))
            elif not blocks:
                blocks.append(Block())
            if not self.at("}") and not self.at("^"):
                blocks[-1].ops.append(self.op())
        self.expect("}")
        return blocks


def _expanded(results: str) -> list[str]:
    """`%2:3` has the names %2#0, %2#1, %2#2."""
    names: list[str] = []
    for result in results.split(", "):
        name, _, count = result.partition(":")
        names += [f"{name}#{i}" for i in range(int(count))] if count else [name]
    return names


def parse(text: str) -> Op:
    """The module, from generic text without locations and aliases."""
    return _Parser(_COMMENT.sub("", text)).op()


def printed(op: Op) -> str:
    """Generic text that MLIR reads."""
    bare = list(dict.fromkeys(name.partition("#")[0] for name in op.results))
    counts = {name: sum(r.partition("#")[0] == name for r in op.results) for name in bare}
    numbered = {r.partition("#")[0] for r in op.results if "#" in r}
    results = ", ".join(f"{n}:{counts[n]}" if n in numbered else n for n in bare)
    text = f'{results} = "{op.name}"' if results else f'"{op.name}"'
    text += f"({', '.join(op.operands)})"
    if op.successors:
        text += f"[{', '.join(op.successors)}]"
    if op.properties:
        text += f" <{{{', '.join(op.properties)}}}>"
    if op.regions:
        text += f" ({', '.join(_printed_region(region) for region in op.regions)})"
    if op.attributes:
        text += f" {{{', '.join(op.attributes)}}}"
    return f"{text} : ({', '.join(op.operand_types)}) -> ({', '.join(op.result_types)})"


def _printed_region(region: list[Block]) -> str:
    lines: list[str] = []
    for block in region:
        if block.label:
            pairs = zip(block.arguments, block.argument_types, strict=True)
            lines.append(f"{block.label}({', '.join(f'{name}: {kind}' for name, kind in pairs)}):")
        lines += [printed(op) for op in block.ops]
    return "{\n" + "\n".join(lines) + "\n}"
