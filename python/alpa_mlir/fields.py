"""What the fields of our data may hold, and the reading of data that others wrote: the one door to
pydantic (docs/decisions, "Plans are read by pydantic").

Kinds of numbers are types here, each with its range, so that a field says by its annotation what is
checked. `read` makes a dataclass of JSON, `check` looks at one that was made in Python.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cache
from operator import getitem
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar, cast, get_type_hints

import numpy as np
from annotated_types import Ge, Le

from alpa_mlir.errors import AlpaError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from pydantic import BaseModel, TypeAdapter, ValidationError
    from pydantic_core import ErrorDetails

_Kind = TypeVar("_Kind", bound="DataclassInstance")

# What pydantic is told; the types of fields say the rest.
_CONFIG: dict[str, Any] = {
    "strict": True,
    "extra": "forbid",
    "allow_inf_nan": False,
    "arbitrary_types_allowed": True,
    "protected_namespaces": (),
}
_MOST_SHOWN = 60  # characters of a refused value


class Checked:
    """Base of the dataclasses that `read` makes, and of those inside them."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _CONFIG


class _AsWritten:
    """Keeps 1 where a float may be written so, for the same bytes when it is saved again; makes
    numpy's numbers Python's."""

    def __get_pydantic_core_schema__(self, kind: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core.core_schema import no_info_wrap_validator_function

        return no_info_wrap_validator_function(_as_written, handler(kind))


def _as_written(value: Any, validate: Callable[[Any], Any]) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    validate(value)
    return value


class _TupleOrList:
    """Takes a list where the field is a tuple: in Python, users write either."""

    def __get_pydantic_core_schema__(self, kind: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core.core_schema import no_info_before_validator_function

        return no_info_before_validator_function(_as_tuple, handler(kind))


def _as_tuple(value: Any) -> Any:
    return tuple(cast(list[Any], value)) if isinstance(value, list) else value


AS_WRITTEN = _AsWritten()
TUPLE_OR_LIST = _TupleOrList()

# Far more than there is of anything; what C++ adds up of so many stays within 64 bits.
_MOST_BYTES = 2**56
_MOST_SECONDS = 1e12

WholeNumber = Annotated[int, Ge(0), Le(2**63 - 1), AS_WRITTEN]
# Of an op in the module; -1 where it is an argument.
OpId = Annotated[int, Ge(-1), Le(2**31 - 1), AS_WRITTEN]
NumBytes = Annotated[int, Ge(0), Le(_MOST_BYTES), AS_WRITTEN]
MemoryBytes = Annotated[int, Ge(1), Le(_MOST_BYTES), AS_WRITTEN]
# Things that are counted one by one: a schedule has an entry for each microbatch, and
# a cluster a submesh for each node.
Count = Annotated[int, Ge(1), Le(2**16), AS_WRITTEN]
Seconds = Annotated[float, Ge(0), Le(_MOST_SECONDS), AS_WRITTEN]
Price = Annotated[float, Ge(0), Le(1e15), AS_WRITTEN]  # picoseconds for a byte
# Bytes or FLOP in a second; at a slower one, picoseconds leave 64 bits.
Rate = Annotated[float, Ge(1), Le(1e30), AS_WRITTEN]
Runs = Annotated[float, Ge(0), Le(1e15), AS_WRITTEN]
Megahertz = Annotated[float, Ge(0), Le(1e6), AS_WRITTEN]
Watts = Annotated[float, Ge(0), Le(1e9), AS_WRITTEN]
# Measured ones below 0 are refused where a problem is made of them, by the name of the task.
Joules = Annotated[float, Ge(-1e12), Le(1e12), AS_WRITTEN]
Fraction = Annotated[float, Ge(0), Le(1), AS_WRITTEN]
# Of a prediction, without its sign, relative to what is so: 0.1 is 10 %.
RelativeError = Annotated[float, Ge(0), Le(1e12), AS_WRITTEN]


def read(
    kind: type[_Kind], data: object, raised: type[AlpaError], advice: str, path: str = ""
) -> _Kind:
    """A dataclass, and those inside it, of JSON as `json.loads` gives it.

    Raises:
      AlpaError: of the class `raised`, one line that names the path of the first wrong field, what
        was expected, what was found, and the advice.
    """
    from pydantic import ValidationError

    try:
        text = json.dumps(data, default=_refused)
    except (TypeError, ValueError, RecursionError) as error:
        raise raised(f"expected JSON of {kind.__name__}: {error}; {advice}") from None
    try:
        return _adapter(kind).validate_json(text)
    except ValidationError as error:
        raise raised(f"{_description(error, data, path)}; {advice}") from None


def without_version(
    data: object, version: int, what: str, raised: type[AlpaError], advice: str, path: str = ""
) -> object:
    """The fields of a record, for `read`; what is no record stays as it is.

    Args:
      what: the record, with its article.

    Raises:
      AlpaError: of the class `raised`: it is of another version.
    """
    if not isinstance(data, Mapping):  # a file may hold anything
        return data
    values = dict(cast(Mapping[str, Any], data))
    found = values.pop("version", None)
    if found != version:
        raise raised(f"{path}expected {what} of version {version}, got {found!r}; {advice}")
    return values


def check(record: DataclassInstance, raised: type[AlpaError]) -> None:
    """Refuses fields of a dataclass that are not what they are annotated with.

    For use in `__post_init__`: it replaces numpy's numbers by Python's. Dataclasses inside are of
    the right class, and have checked themselves.

    Raises:
      AlpaError: of the class `raised`, one line that names the field.
    """
    from pydantic import ValidationError

    kind = type(record)
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    try:
        valid = _model(kind).model_validate(values)
    except ValidationError as error:
        raise raised(_description(error, values, f"{kind.__name__}.")) from None
    for name, value in values.items():
        if (checked := getattr(valid, name)) is not value:
            object.__setattr__(record, name, checked)  # which may be frozen


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


@cache
def _model(kind: type[Any]) -> type[BaseModel]:
    """The fields of a dataclass, without the dataclass: that one is there already."""
    from pydantic import ConfigDict, create_model

    hints = get_type_hints(kind, include_extras=True)
    members: dict[str, Any] = {field.name: (hints[field.name], ...) for field in fields(kind)}
    return create_model(kind.__name__, __config__=cast(ConfigDict, _CONFIG), **members)


def _refused(value: object) -> dict[str, str]:
    """What is no JSON, as something that no field may be."""
    return {"no JSON": _shown(value)}


# --- One line for people ---

_EXPECTED: dict[str, str] = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "dict_type": "an object",
    "mapping_type": "an object",
    "dataclass_type": "the fields of {class_name}",
    "dataclass_exact_type": "{class_name}",
    "is_instance_of": "{class}",
    "none_required": "None",
    "greater_than": "more than {gt:.17g}",
    "greater_than_equal": "at least {ge:.17g}",
    "less_than_equal": "at most {le:.17g}",
    "too_short": "a length of at least {min_length}",
    "too_long": "a length of at most {max_length}",
    "literal_error": "{expected}",
}
_OF_THE_KEY = {
    "missing": "a value, got nothing",
    "unexpected_keyword_argument": "no field of this name",
}


def _description(error: ValidationError, data: object, prefix: str) -> str:
    """The first refusal, and others of the same value: one kind of several would have done."""
    details = error.errors(include_url=False)
    first = details[0]
    if first["type"] == "json_invalid":  # though Python wrote it: of half a UTF-16 pair
        location, text = next(_unwritable(data), ((), data))
        return f"{prefix}{_path(location, data)}: expected text of Unicode, got {_shown(text)}"
    path = _path(first["loc"], data)
    where = f"{prefix}{path}" or "data"
    if first["type"] in _OF_THE_KEY:
        return f"{where}: expected {_OF_THE_KEY[first['type']]}"
    alternatives = dict.fromkeys(
        _expected(each) for each in details if _path(each["loc"], data) == path
    )
    return f"{where}: expected {' or '.join(alternatives)}, got {_shown(first['input'])}"


def _expected(details: ErrorDetails) -> str:
    form = _EXPECTED.get(details["type"])
    return details["msg"] if form is None else form.format_map(details.get("ctx", {}))


def _path(location: Sequence[str | int], data: object) -> str:
    """As one would write it in Python. Steps that only name one of several allowed types are left
    out: what they lead into has no parts."""
    steps = list(_steps(location, data))
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.removeprefix(".")


def _steps(location: Sequence[str | int], data: object) -> Iterator[str | int]:
    for step in location:
        if not isinstance(data, Mapping | list | tuple):
            return
        yield step
        try:
            data = getitem(cast(Any, data), step)
        except (KeyError, IndexError):  # it is missing
            data = None


def _unwritable(
    data: object, before: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], object]]:
    """Texts that UTF-8 does not have, keys included, and where they are."""
    if isinstance(data, str):
        if data.encode(errors="replace").decode() != data:
            yield before, data
    elif isinstance(data, Mapping):
        for key, value in cast(Mapping[str, object], data).items():
            yield from _unwritable(key, before)
            yield from _unwritable(value, (*before, key))
    elif isinstance(data, list | tuple):
        for number, value in enumerate(cast(Sequence[object], data)):
            yield from _unwritable(value, (*before, number))


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # of anybody's class; of numbers with very many digits
        return f"something of type {type(value).__name__}"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
