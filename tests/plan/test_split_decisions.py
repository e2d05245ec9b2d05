"""What examples decide for all of them is decided over the whole batch, or not split."""

from typing import Any

import pytest
from programs.deciding_steps import EXACT, REFUSED
from programs.small_programs import Program
from test_split_microbatches import assert_split_is_exact, split


@pytest.mark.parametrize("name", EXACT)
def test_split_step_decides_as_before(name: str) -> None:
    assert_split_is_exact(EXACT[name], 4)


@pytest.mark.parametrize("name", REFUSED)
def test_step_is_refused_where_parameters_decide(name: str) -> None:
    with pytest.raises(RuntimeError, match=r"in which they meet") as error:
        split(REFUSED[name], 2)
    assert "deciding_steps.py" in str(error.value)


def test_refusal_names_what_is_decided_and_what_to_do() -> None:
    with pytest.raises(RuntimeError) as error:
        split(REFUSED["trips_by_max"], 2)
    message = str(error.value)
    assert "it decides for all examples how often 'stablehlo.while' runs" in message
    assert "decide from the batch alone, or example by example (jnp.where, jax.vmap)" in message
    assert "note: decided here" in message


@pytest.mark.parametrize("name", ["where_by_example", "vmapped_cond", "vmapped_while"])
def test_examples_that_decide_for_themselves_need_no_prologue(name: str) -> None:
    assert 'sym_name = "prologue"' not in split(EXACT[name], 4)


def test_largest_of_a_batch_is_no_local_statistic() -> None:
    """Scaling by the number of microbatches is for sums alone."""

    def step(params: Any, batch: Any) -> Any:
        h = batch["x"] @ params["a"]
        return params, ((h / h.max()) @ params["b"]).sum()

    program = Program(step, EXACT["where_by_example"].arguments)
    with pytest.raises(RuntimeError, match=r"stablehlo.reduce.*in which they meet"):
        split(program, 2, " allow-local-statistics=true")
