"""Passes never crash: attributes of ours dropped and retyped, modules damaged at random."""

import pytest
from oracles.extent import in_part
from oracles.module_mutations import attribute_variants
from oracles.mutated_modules import (
    all_checks,
    damaged,
    pipelines,
    plugin_command,
    run,
    run_plugin,
    sources,
)

NUM_PARTS = 4
NUM_RANDOM = in_part(1_000, 10_000)


@pytest.mark.parametrize("part", range(NUM_PARTS))
def test_dropped_and_retyped_attributes_end_in_a_diagnostic(part: int) -> None:
    variants = [
        text for each in sources()[part::NUM_PARTS] for text in attribute_variants(each.text)
    ]
    assert len(variants) > 400
    assert list(run(variants, all_checks())) == []


@pytest.mark.parametrize("part", range(NUM_PARTS))
def test_random_damages_end_in_a_diagnostic(part: int) -> None:
    count = NUM_RANDOM // NUM_PARTS
    assert list(run(damaged(sources(), part * count, count), all_checks())) == []


def test_plugin_ends_in_a_diagnostic() -> None:
    command = plugin_command()
    if command is None:
        pytest.skip("needs mlir-opt of LLVM 22 and the plugin")
    modules = sources()
    dropped = [text for module in modules for text in attribute_variants(module.text, ())]
    variants = [*dropped, *damaged(modules, NUM_RANDOM, 400)]
    passes = {each.partition("{")[0]: each for each in pipelines()}  # each with one of its options
    assert list(run_plugin(command, variants, list(passes.values()))) == []
