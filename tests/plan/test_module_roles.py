"""What modules of files say of their arguments, and what users say instead."""

from __future__ import annotations

import pytest
from alpa_mlir.errors import ArgumentError, PassError
from alpa_mlir.frontend.file import Roles, read_program
from alpa_mlir.ir.jaxlib import argument_marks


def module(weight: str = "", batch: str = "") -> str:
    """A step with these attributes of its arguments; its results are weights and a loss."""
    return f"""
    module {{
      func.func public @main(%w: tensor<4xf32> {{{weight}}}, %x: tensor<8x4xf32> {{{batch}}})
          -> (tensor<4xf32>, tensor<f32>) {{
        %loss = stablehlo.constant dense<0.0> : tensor<f32>
        return %w, %loss : tensor<4xf32>, tensor<f32>
      }}
    }}"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            module(batch="alpa.batch = 2 : i64"),
            "batch to be one of the 2 dims of argument 1, .*, got 2",
        ),
        (
            module(batch="alpa.batch = -1 : i64"),
            "batch to be one of the 2 dims of argument 1, .*, got -1",
        ),
        (module(batch='alpa.batch = "rows"'), 'whole number as alpa.batch of an .*, got "rows"'),
        (
            module("alpa.state = 2 : i64"),
            "next value of argument 0 to be one of the 2 results, .*, got 2",
        ),
        (module("alpa.state = 1 : i64"), r"its type, float32\[4\], got float32\[\] at result 1"),
        (module("alpa.gradient = 2 : i64"), "gradient of argument 0 to be one of the 2 results"),
        (module("alpa.gradient = -1 : i64"), "gradient of argument 0 .*, got -1"),
        (module("tf.aliasing_output = 7 : i32"), "next value of argument 0 .*, got 7"),
        (module("alpa.state = 0 : i64", "alpa.state = 0 : i64"), "argument 1 to come back as"),
    ],
)
def test_module_that_says_what_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(PassError, match=message):
        read_program(text, "step")


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        (Roles(batch=(2,)), "expected an argument to be one of the 2 arguments, .*, got 2"),
        (Roles(state={0: 2}), "next value of argument 0 to be one of the 2 results, .*, got 2"),
        (Roles(state={0: 0, 2: 1}), "expected an argument to be one of the 2 arguments, .*, got 2"),
        (Roles(state={1: 0}), "argument 1 to come back as a result of its type"),
    ],
)
def test_roles_that_cannot_be_are_refused(roles: Roles, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        read_program(module(), "step", roles)


def test_two_arguments_do_not_come_back_as_one_result() -> None:
    text = module("alpa.state = 0 : i64", "alpa.state = 0 : i64").replace("8x4xf32", "4xf32")
    with pytest.raises(PassError, match="arguments 0 and 1 to come back as a result each, got res"):
        read_program(text, "step")


def test_roles_are_instead_of_what_the_module_says() -> None:
    marked = module("alpa.batch, tf.aliasing_output = 0 : i32", "alpa.batch = 1 : i64")
    program = read_program(marked, "step", Roles(batch=(1,)))
    assert [each.batch_dim for each in program.arguments] == [None, 0]
    marks = argument_marks(program.text)
    assert "alpa.batch" not in marks[0]
    assert marks[1]["alpa.batch"] == "unit"
    assert program.arguments[0].is_donated
    assert marks[0]["jax.buffer_donor"] == "true"
    assert "tf.aliasing_output" not in marks[0]  # it is no state


def test_memory_that_a_result_of_another_type_takes_is_no_state() -> None:
    program = read_program(module("tf.aliasing_output = 1 : i32"), "step")
    assert program.arguments[0].state_result is None
    assert program.arguments[0].is_donated
