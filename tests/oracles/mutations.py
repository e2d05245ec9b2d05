"""JSON with one thing in it changed: what people edit, what other programs write, what disks do."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

OTHERS: tuple[Any, ...] = (
    *(None, "", "x", "\ud800", [], [[]], {}, {"x": 1}, True, False),
    *(0, 1, 7, -1, 1.5, 0.0, 1e-300, 1e18, 1e308, 2**31, 2**63, 2**70, -(2**63)),
    *(float("nan"), float("inf"), float("-inf")),
)

# The containers from the root, and the key of each in the one before.
Path = tuple[str | int, ...]


def mutated(data: Any, source: random.Random) -> tuple[Any, str]:
    """A copy of `data` with one change, and what that is.

    All places alike, such as a field of all entries of a list, are as likely as one place of
    another kind: long lists would hide the rest.
    """
    groups: dict[Path, list[Path]] = {}
    for path in _paths(data):
        groups.setdefault(tuple("*" if isinstance(k, int) else k for k in path), []).append(path)
    path = source.choice(groups[source.choice(list(groups))])
    data = copy.deepcopy(data)
    parent = _at(data, path[:-1])
    change = source.choice(_CHANGES)
    what = change(data, parent, path, source)
    return data, f"{change.__name__.strip('_')} {'.'.join(map(str, path))}{what}"


def as_text(data: Any, source: random.Random) -> str:
    """As a file has it; one in fifty is cut off somewhere."""
    text = json.dumps(data)
    return text[: source.randrange(len(text))] if source.random() < 0.02 else text


def _paths(data: Any, before: Path = ()) -> list[Path]:
    keys: Any = data if isinstance(data, dict) else range(len(data))
    found: list[Path] = []
    for key in keys:
        found.append((*before, key))
        if isinstance(data[key], dict | list):
            found += _paths(data[key], (*before, key))
    return found


def _at(data: Any, path: Path) -> Any:
    for key in path:
        data = data[key]
    return data


# --- Changes: of the value at `path`, whose last step is a key of `parent` ---


def _retype(_: Any, parent: Any, path: Path, source: random.Random) -> str:
    parent[path[-1]] = source.choice(OTHERS)
    return f" to {parent[path[-1]]!r}"


def _delete(_: Any, parent: Any, path: Path, __: random.Random) -> str:
    del parent[path[-1]]
    return ""


def _scale(data: Any, parent: Any, path: Path, source: random.Random) -> str:
    value = parent[path[-1]]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _retype(data, parent, path, source)
    factor = source.choice((-1, 2, 1000, 0.5, 1e15, 1e-15))
    parent[path[-1]] = value * factor
    return f" by {factor}"


def _add_one(data: Any, parent: Any, path: Path, source: random.Random) -> str:
    if type(parent[path[-1]]) is not int:
        return _swap(data, parent, path, source)
    parent[path[-1]] += source.choice((-1, 1))
    return f" to {parent[path[-1]]}"


def _repeat(data: Any, parent: Any, path: Path, source: random.Random) -> str:
    if not isinstance(parent, list):
        return _swap(data, parent, path, source)
    parent.insert(int(path[-1]), copy.deepcopy(parent[int(path[-1])]))
    return ""


def _add_key(data: Any, parent: Any, path: Path, source: random.Random) -> str:
    if not isinstance(parent, dict):
        return _retype(data, parent, path, source)
    parent["unheard_of"] = source.choice(OTHERS)
    return " beside it"


def _rename(data: Any, parent: Any, path: Path, source: random.Random) -> str:
    if not isinstance(parent, dict):
        return _retype(data, parent, path, source)
    parent[f"{path[-1]}_"] = parent.pop(path[-1])
    return ""


def _swap(data: Any, parent: Any, path: Path, source: random.Random) -> str:
    """With any other value that does not hold it, nor is in it; most often of the same type, which
    only the meaning of the fields tells from the right one."""
    others = [p for p in _paths(data) if p[: len(path)] != path and path[: len(p)] != p]
    if source.random() < 0.7:
        kind = type(parent[path[-1]])
        others = [p for p in others if type(_at(data, p)) is kind]
    if not others:
        return _retype(data, parent, path, source)
    other = source.choice(others)
    there = _at(data, other[:-1])
    parent[path[-1]], there[other[-1]] = there[other[-1]], parent[path[-1]]
    return f" with {'.'.join(map(str, other))}"


_CHANGES: tuple[Callable[[Any, Any, Path, random.Random], str], ...] = (
    *(_retype, _retype, _delete, _scale, _add_one, _repeat, _add_key, _rename, _swap),
)
