"""No pass crashes for want of an attribute of ours; all damages are in tests/slow."""

from oracles import generic_module
from oracles.module_mutations import alpa_attributes, attribute_variants
from oracles.mutated_modules import all_checks, pipelines, run, sources

INPUTS = ["extract_stage.mlir", "split_*s.mlir", "cluster_layers_update.mlir", "annotate_*s.mlir"]


def test_dropped_attributes_end_in_a_diagnostic() -> None:
    modules = [module for pattern in INPUTS for module in sources(pattern)]
    variants = [text for each in modules for text in attribute_variants(each.text, ())]
    assert len(variants) > 150
    assert list(run(variants, all_checks())) == []


def test_every_pass_is_run() -> None:
    tried = {pipeline.partition("{")[0] for pipeline in pipelines()}
    assert {"alpa-normalize", "alpa-verify-stages", "alpa-extract-stage"} < tried
    assert len(tried) == 18


def test_attributes_are_found_with_their_values() -> None:
    text = (
        'x = [{alpa.batch, alpa.value = "a, }"}, {}]} : {alpa.mesh = {axes = ["x"]}, alpa.op = 1}'
    )
    found = [text[start:end] for start, end in alpa_attributes(text)]
    assert found == [
        "alpa.batch",
        'alpa.value = "a, }"',
        'alpa.mesh = {axes = ["x"]}',
        "alpa.op = 1",
    ]
    assert '{alpa.value = "a, }"}' in next(iter(attribute_variants(text, ())))


def test_printed_module_is_the_one_that_was_parsed() -> None:
    for module in sources("unroll_loops.mlir"):
        text = generic_module.printed(generic_module.parse(module.text))
        assert generic_module.printed(generic_module.parse(text)) == text
