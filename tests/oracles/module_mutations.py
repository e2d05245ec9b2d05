"""Small damages to a module in generic form: what a careless producer may hand us."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Callable, Iterator

from oracles import generic_module
from oracles.generic_module import Block, Op, end_of, split
from oracles.odd_pieces import OP_NAMES, RETYPES, TYPES, VALUES

ALPA_ATTRIBUTE = re.compile(r"\balpa\.\w+")


# --- Every attribute of ours, dropped and retyped ---


def attribute_variants(text: str, replacements: tuple[str, ...] = RETYPES) -> Iterator[str]:
    """The module without each `alpa.*` attribute, then with each of another type."""
    for start, end in alpa_attributes(text):
        after = re.match(r", ", text[end:])
        before = re.search(r", $", text[:start])
        if after:
            yield text[:start] + text[end + 2 :]
        else:
            yield text[: before.start() if before else start] + text[end:]
        name = ALPA_ATTRIBUTE.match(text, start)
        assert name is not None
        for value in replacements:
            yield f"{text[:start]}{name[0]}{'' if value == 'unit' else f' = {value}'}{text[end:]}"


def alpa_attributes(text: str) -> Iterator[tuple[int, int]]:
    """Where each `alpa.x = value` of a dictionary begins and ends."""
    for match in ALPA_ATTRIBUTE.finditer(text):
        if not re.search(r"[{,]\s*$", text[: match.start()]):
            continue
        end = match.end()
        while text[end] not in ",}":
            if text[end] in '"([{<':
                end = end_of(text, end) if text[end] != '"' else text.index('"', end + 1) + 1
            else:
                end += 1
        yield match.start(), end


# --- Anything else, at random ---


def mutated(module: Op, rng: random.Random) -> str:
    """The text of the module after one to three random damages."""
    module = copy.deepcopy(module)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if any(block.ops for block in module.blocks()):
            rng.choice(_MUTATIONS)(module, rng)
    text = generic_module.printed(module)
    return text[: rng.randrange(len(text))] if rng.random() < 0.01 else text


def _op(module: Op, rng: random.Random) -> Op:
    return rng.choice(list(module.walk())[1:])


def _function(module: Op, rng: random.Random) -> Op:
    return rng.choice([op for block in module.blocks() for op in block.ops])


def _block(module: Op, rng: random.Random) -> Block:
    return rng.choice([block for op in module.walk() for block in op.blocks()])


def _types(function: Op) -> dict[str, str]:
    types: dict[str, str] = {}
    for op in function.walk():
        types.update(zip(op.results, op.result_types, strict=False))
        for block in op.blocks():
            types.update(zip(block.arguments, block.argument_types, strict=True))
    return types


def _attributes(module: Op, rng: random.Random) -> list[str] | None:
    lists = [a for op in module.walk() for a in (op.properties, op.attributes) if a]
    return rng.choice(lists) if lists else None


def _drop_attribute(module: Op, rng: random.Random) -> None:
    if attributes := _attributes(module, rng):
        attributes.pop(rng.randrange(len(attributes)))


def _retype_attribute(module: Op, rng: random.Random) -> None:
    if attributes := _attributes(module, rng):
        index = rng.randrange(len(attributes))
        name = attributes[index].partition(" = ")[0]
        value = rng.choice(VALUES)
        attributes[index] = name if value == "unit" else f"{name} = {value}"


def _change_number(module: Op, rng: random.Random) -> None:
    if attributes := _attributes(module, rng):
        index = rng.randrange(len(attributes))
        numbers = list(re.finditer(r"(?<![\w.])\d+(?![\w.])", attributes[index]))
        if numbers:
            number = rng.choice(numbers)
            new = rng.choice(("-1", "0", "1", "2", "7", "1000000000000", "9223372036854775807"))
            text = attributes[index]
            attributes[index] = text[: number.start()] + new + text[number.end() :]


def _mangle_foreign_text(module: Op, rng: random.Random) -> None:
    """Of sharding rules, shardings and dimension numbers: characters dropped, doubled, swapped."""
    lists = [a for op in module.walk() for a in (op.properties, op.attributes)]
    places = [(a, i) for a in lists for i, text in enumerate(a) if "#" in text and "<" in text]
    if not places:
        return
    attributes, index = rng.choice(places)
    head, opening, body = attributes[index].partition("<")
    inner, closing, rest = body.rpartition(">")
    if not inner:
        return
    at = rng.randrange(len(inner))
    new = rng.choice(("", inner[at] * 2, rng.choice('ijkl019,=[](){}->@?*"xy')))
    attributes[index] = f"{head}{opening}{inner[:at]}{new}{inner[at + 1 :]}{closing}{rest}"


def _add_attribute(module: Op, rng: random.Random) -> None:
    """One that another op has."""
    if attributes := _attributes(module, rng):
        op = _op(module, rng)
        new = rng.choice(attributes)
        if new.partition(" = ")[0] not in {a.partition(" = ")[0] for a in op.attributes}:
            op.attributes.append(new)


def _rename_op(module: Op, rng: random.Random) -> None:
    names = (*OP_NAMES, *(op.name for op in module.walk()))
    op = _op(module, rng)
    if not op.name.startswith("func."):
        op.name = rng.choice(names)


def _replace_operand(module: Op, rng: random.Random) -> None:
    """By another value of its type."""
    function = _function(module, rng)
    types = _types(function)
    ops = [op for op in function.walk() if op.operands]
    if ops:
        op = rng.choice(ops)
        index = rng.randrange(len(op.operands))
        same = [name for name, kind in types.items() if kind == types.get(op.operands[index])]
        if same:
            op.operands[index] = rng.choice(same)


def _change_operands(module: Op, rng: random.Random) -> None:
    """One more or one less, or all in another order."""
    op = _op(module, rng)
    pairs = list(zip(op.operands, op.operand_types, strict=False))
    if not pairs:
        return
    match rng.randrange(3):
        case 0:
            pairs.pop(rng.randrange(len(pairs)))
        case 1:
            pairs.append(rng.choice(pairs))
        case _:
            rng.shuffle(pairs)
    op.operands = [name for name, _ in pairs]
    op.operand_types = [kind for _, kind in pairs]
    _fit_signatures(module)


def _add_result(module: Op, rng: random.Random) -> None:
    op = _op(module, rng)
    if op.name.startswith("func.") or "#" in "".join(op.results):
        return
    op.results.append(f"%added{rng.randrange(10**9)}")
    op.result_types.append(rng.choice(TYPES))


def _retype_value(module: Op, rng: random.Random) -> None:
    """Everywhere the value is, and in the signature of its function."""
    function = _function(module, rng)
    types = _types(function)
    if types:
        name = rng.choice(list(types))
        _set_types(function, {name: _other_type(types[name], rng)})
        _fit_signatures(module)


def _retype_all(module: Op, rng: random.Random) -> None:
    """All values of a type, with the text of the attributes that say it."""
    kinds = sorted({kind for op in module.walk() for kind in op.result_types + op.operand_types})
    if not kinds:
        return
    old = rng.choice(kinds)
    new = _other_type(old, rng)
    for function in module.walk():
        if function.name == "func.func":
            _set_types(function, {n: new for n, k in _types(function).items() if k == old})
    _fit_signatures(module)


def _other_type(old: str, rng: random.Random) -> str:
    """Mostly nearly the same."""
    sizes = list(re.finditer(r"(?<=[<x])\d+(?=x)", old))
    if sizes and rng.random() < 0.6:
        size = rng.choice(sizes)
        new = rng.choice(("0", "1", "2", "3", "5", "16", "?", "4611686018427387904"))
        return old[: size.start()] + new + old[size.end() :]
    return rng.choice(TYPES)


def _set_types(function: Op, types: dict[str, str]) -> None:
    for op in function.walk():
        op.operand_types = [
            types.get(n, t) for n, t in zip(op.operands, op.operand_types, strict=False)
        ]
        op.result_types = [
            types.get(n, t) for n, t in zip(op.results, op.result_types, strict=False)
        ]
        for block in op.blocks():
            pairs = zip(block.arguments, block.argument_types, strict=True)
            block.argument_types = [types.get(name, kind) for name, kind in pairs]


def _fit_signatures(module: Op) -> None:
    """MLIR's verifier would see nothing but a signature that differs from the body."""
    for op in module.walk():
        block = next(op.blocks(), None)
        if op.name == "func.func" and block is not None and block.ops:
            arguments, results = block.argument_types, block.ops[-1].operand_types
            kind = f"function_type = ({', '.join(arguments)}) -> ({', '.join(results)})"
            op.properties = [
                kind if each.startswith("function_type") else each for each in op.properties
            ]
            _fit_list(op.properties, "arg_attrs", len(arguments))
            _fit_list(op.properties, "res_attrs", len(results))


def _fit_list(properties: list[str], name: str, length: int) -> None:
    for index, each in enumerate(properties):
        if each.startswith(f"{name} = ["):
            try:
                entries = split(each.partition(" = ")[2][1:-1])
            except ValueError:  # damaged before
                return
            entries = (entries + ["{}"] * length)[:length]
            properties[index] = f"{name} = [{', '.join(entries)}]"


def _bypass_op(module: Op, rng: random.Random) -> None:
    """Readers of its results read an operand of the type instead."""
    block = _block(module, rng)
    ops = [op for op in block.ops if op.results and op.operands]
    if not ops:
        return
    op = rng.choice(ops)
    by_type = dict(zip(op.operand_types, op.operands, strict=False))
    instead = {r: by_type.get(t, r) for r, t in zip(op.results, op.result_types, strict=False)}
    block.ops.remove(op)
    for reader in module.walk():
        reader.operands = [instead.get(name, name) for name in reader.operands]


def _repeat_op(module: Op, rng: random.Random) -> None:
    block = _block(module, rng)
    if block.ops:
        index = rng.randrange(len(block.ops))
        twin = copy.deepcopy(block.ops[index])
        suffix = f"_twin{rng.randrange(10**9)}"
        new: dict[str, str] = {}
        for op in twin.walk():
            results = [*op.results, *(a for each in op.blocks() for a in each.arguments)]
            new |= {r: "#".join([r.split("#")[0] + suffix, *r.split("#")[1:]]) for r in results}
        for op in twin.walk():
            op.results = [new[name] for name in op.results]
            op.operands = [new.get(name, name) for name in op.operands]
            for each in op.blocks():
                each.arguments = [new[name] for name in each.arguments]
        block.ops.insert(index + rng.randrange(2), twin)


def _move_op(module: Op, rng: random.Random) -> None:
    block = _block(module, rng)
    if len(block.ops) > 1:
        op = block.ops.pop(rng.randrange(len(block.ops)))
        block.ops.insert(rng.randrange(len(block.ops) + 1), op)


def _drop_op(module: Op, rng: random.Random) -> None:
    block = _block(module, rng)
    if block.ops:
        block.ops.pop(rng.randrange(len(block.ops)))


def _change_regions(module: Op, rng: random.Random) -> None:
    ops = [op for op in module.walk() if op.regions and op is not module]
    if not ops:
        return
    op = rng.choice(ops)
    match rng.randrange(5):
        case 0:
            op.regions[rng.randrange(len(op.regions))] = []
        case 1:
            op.regions.pop(rng.randrange(len(op.regions)))
        case 2:
            op.regions.reverse()
        case 3:
            op.regions.append([])
        case _:
            for block in op.blocks():
                block.ops.clear()


def _rename_symbol(module: Op, rng: random.Random) -> None:
    lists = [op.properties for op in module.walk()]
    symbols = [
        (a, i)
        for a in lists
        for i, t in enumerate(a)
        if re.match("sym_name|callee|decomposition", t)
    ]
    if symbols:
        attributes, index = rng.choice(symbols)
        name = attributes[index].partition(" = ")[0]
        new = rng.choice(("main", "microbatch", "update", "prologue", "nowhere", "stage0_forward"))
        attributes[index] = f'{name} = "{new}"' if name == "sym_name" else f"{name} = @{new}"


_MUTATIONS: tuple[Callable[[Op, random.Random], None], ...] = (
    _drop_attribute,
    _retype_attribute,
    _change_number,
    _mangle_foreign_text,
    _add_attribute,
    _rename_op,
    _replace_operand,
    _change_operands,
    _add_result,
    _retype_value,
    _retype_value,
    _retype_all,
    _bypass_op,
    _repeat_op,
    _move_op,
    _drop_op,
    _change_regions,
    _rename_symbol,
)
