"""What modules are told apart by."""

import hashlib

import pytest
from alpa_mlir._native import Module

TEXT = """
"func.func"() <{function_type = (tensor<4xf32>) -> tensor<4xf32>, sym_name = "main",
                arg_attrs = [{ARGUMENT}], res_attrs = [{RESULT}]}> ({
^bb0(%arg0: tensor<4xf32>):
  %0 = "stablehlo.sine"(%arg0) {alpa.layer = LAYER : i64} : (tensor<4xf32>) -> tensor<4xf32>
  "func.return"(%0) : (tensor<4xf32>) -> ()
}) : () -> ()
"""


def module(
    argument: str = 'alpa.argument = 0 : i64, alpa.name = "x", alpa.value = "a0"',
    result: str = 'alpa.batch_dim = array<i64: 0, 4, 1>, alpa.result = 0 : i64, alpa.value = "r0"',
    layer: int = 0,
) -> Module:
    text = TEXT.replace("ARGUMENT", argument).replace("RESULT", result)
    return Module.parse(text.replace("LAYER", str(layer)))


def test_content_hash_is_that_of_the_text() -> None:
    text = module().text()
    assert module().content_hash() == hashlib.sha256(text.encode()).hexdigest()
    assert module().content_hash() != module(layer=1).content_hash()


def test_content_hash_ignores_locations() -> None:
    located = module().text(with_locations=True)
    assert Module.parse(located, "elsewhere").content_hash() == module().content_hash()


def test_structure_key_is_the_content_without_names() -> None:
    nameless = module(
        "alpa.argument, alpa.name, alpa.value", "alpa.batch_dim, alpa.result, alpa.value"
    )
    assert module().structure_key() == nameless.content_hash()


def test_structure_key_leaves_the_module_as_it_is() -> None:
    one = module()
    before = one.text()
    one.structure_key()
    assert one.text() == before


@pytest.mark.parametrize(
    ("other", "is_equal"),
    [
        (module('alpa.argument = 7 : i64, alpa.name = "y \\"z\\"", alpa.value = "v3"'), True),
        (module(result="alpa.result = 0 : i64"), False),
        (module('alpa.argument = 0 : i64, alpa.role = "batch"'), False),
        (module(layer=1), False),
    ],
)
def test_structure_key_tells_what_is_done(other: Module, is_equal: bool) -> None:
    assert (other.structure_key() == module().structure_key()) is is_equal


SLICE = """
"func.func"() <{function_type = (tensor<9xf32>) -> tensor<4xf32>, sym_name = "main"}> ({
^bb0(%arg0: tensor<9xf32>):
  %0 = "stablehlo.slice"(%arg0) <{start_indices = array<i64: START>,
      limit_indices = array<i64: LIMIT>, strides = array<i64: 1>}>
      : (tensor<9xf32>) -> tensor<4xf32>
  "func.return"(%0) : (tensor<4xf32>) -> ()
}) : () -> ()
"""


def test_structure_key_does_not_tell_where_slices_start() -> None:
    first, last = (
        Module.parse(SLICE.replace("START", str(start)).replace("LIMIT", str(start + 4)))
        for start in (0, 5)
    )
    assert first.content_hash() != last.content_hash()
    assert first.structure_key() == last.structure_key()
    assert first.function_keys() == last.function_keys()
    assert "limit_indices = array<i64: 9>" in last.text()


def test_num_layers_is_one_above_the_highest() -> None:
    assert module(layer=6).num_layers() == 7
    assert Module.parse("").num_layers() == 0
