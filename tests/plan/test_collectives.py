"""The readers of optimised HLO text, on hand-made modules."""

import os

import pytest
from alpa_mlir.xla.collectives import HloCollective, bytes_by_kind, parse_collectives
from alpa_mlir.xla.diagnostics import rematerializations, with_captured_log
from alpa_mlir.xla.replica_groups import parse_replica_groups

# HLO puts an instruction on one line, however long.
# ruff: noqa: E501
LOOP_AND_ASYNC = """\
HloModule jit_step, is_scheduled=true, num_partitions=8

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%body (p: (s32[], f32[4,4])) -> (s32[], f32[4,4]) {
  %p = (s32[], f32[4,4]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %h = f32[4,4]{1,0} get-tuple-element(%p), index=1
  %ar = f32[4,4]{1,0} all-reduce(%h), replica_groups=[2,4]<=[8], metadata={op_name="jit(f)/dot_general"}
  ROOT %t = (s32[], f32[4,4]{1,0}) tuple(%i, %ar)
}

%cond (q: (s32[], f32[4,4])) -> pred[] {
  %q = (s32[], f32[4,4]{1,0}) parameter(0)
  ROOT %lt = pred[] compare(%q, %q), direction=LT
}

%async_rs (x: bf16[8,16]) -> bf16[2,16] {
  %x = bf16[8,16]{1,0} parameter(0)
  ROOT %rs = bf16[2,16]{1,0:T(8,128)} reduce-scatter(%x), replica_groups=mesh['x'=2,'y'=4] {'y'}, dimensions={0}, to_apply=%add
}

ENTRY %main (w: (s32[], f32[4,4]), g: f32[2,8], v: bf16[8,16]) -> f32[8,8] {
  %w = (s32[], f32[4,4]{1,0}) parameter(0)
  %g = f32[2,8]{1,0:T(8,128)} parameter(1)
  %v = bf16[8,16]{1,0} parameter(2)
  %loop = (s32[], f32[4,4]{1,0}) while(%w), condition=%cond, body=%body, backend_config={"known_trip_count":{"n":"5"}}
  %start = ((bf16[8,16]{1,0}), bf16[2,16]{1,0}, s32[]) async-start(%v), calls=%async_rs
  %done = bf16[2,16]{1,0} async-done(%start), calls=%async_rs
  %ags = (f32[2,8]{1,0}, f32[8,8]{1,0}) all-gather-start(%g), replica_groups={{0,1,2,3},{4,5,6,7}}, dimensions={0}
  %agd = f32[8,8]{1,0} all-gather-done(%ags)
  %a2a = (f32[2,8]{1,0}, f32[2,8]{1,0}) all-to-all(%g, /*index=1*/%g), replica_groups={{0,1},{2,3},{4,5},{6,7}}
  %cp = f32[2,8]{1,0} collective-permute(%g), source_target_pairs={{0,1},{1,0}}
  ROOT %out = f32[8,8]{1,0} copy(%agd)
}
"""


@pytest.fixture
def collectives() -> dict[str, HloCollective]:
    return {c.kind: c for c in parse_collectives(LOOP_AND_ASYNC)}


def test_parse_collectives_finds_each_once(collectives: dict[str, HloCollective]) -> None:
    assert len(parse_collectives(LOOP_AND_ASYNC)) == len(collectives) == 5


def test_parse_collectives_in_loop_multiplies_by_trip_count(
    collectives: dict[str, HloCollective],
) -> None:
    all_reduce = collectives["all-reduce"]
    assert (all_reduce.count, all_reduce.bytes, all_reduce.group_size) == (5, 64, 4)
    assert all_reduce.source == "jit(f)/dot_general"


def test_parse_collectives_async_start_has_operand_and_result_bytes(
    collectives: dict[str, HloCollective],
) -> None:
    gather, scatter = collectives["all-gather"], collectives["reduce-scatter"]
    assert (gather.operand_bytes, gather.result_bytes, gather.count) == (64, 256, 1)
    assert (scatter.operand_bytes, scatter.result_bytes, scatter.count) == (256, 64, 1)


def test_parse_collectives_combined_sums_operands(collectives: dict[str, HloCollective]) -> None:
    assert collectives["all-to-all"].bytes == 128
    assert collectives["collective-permute"].groups == ((0, 1), (1, 0))


def test_parse_collectives_without_an_entry_is_refused() -> None:
    """Nothing would be counted, which reads as a program without collectives."""
    with pytest.raises(ValueError, match="expected optimised HLO with an ENTRY"):
        parse_collectives(LOOP_AND_ASYNC.replace("ENTRY ", ""))


def test_parse_collectives_refuses_what_it_does_not_know_to_start() -> None:
    unknown = LOOP_AND_ASYNC.replace(" all-gather-start(", " ragged-all-to-all-start(")
    assert unknown != LOOP_AND_ASYNC
    with pytest.raises(ValueError, match="got 'ragged-all-to-all-start'"):
        parse_collectives(unknown)


@pytest.mark.parametrize("opcode", ["ragged-all-to-all", "collective-broadcast", "send"])
def test_parse_collectives_refuses_what_it_does_not_count(opcode: str) -> None:
    unknown = LOOP_AND_ASYNC.replace(" all-to-all(", f" {opcode}(")
    with pytest.raises(ValueError, match=f"between devices, got '{opcode}'"):
        parse_collectives(unknown)
    host = unknown.replace("{4,5},{6,7}}", "{4,5},{6,7}}, is_host_transfer=true")
    assert "all-to-all" not in bytes_by_kind(parse_collectives(host))


def test_bytes_by_kind_counts_every_iteration() -> None:
    assert bytes_by_kind(parse_collectives(LOOP_AND_ASYNC)) == {
        "all-reduce": 320,
        "all-gather": 256,
        "reduce-scatter": 256,
        "all-to-all": 128,
        "collective-permute": 64,
    }


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("{{0,1},{2,3}}, to_apply=%add", ((0, 1), (2, 3))),
        ("{}, dimensions={0}", ((0, 1, 2, 3, 4, 5, 6, 7),)),
        ("[2,4]<=[8], use_global_device_ids=true", ((0, 1, 2, 3), (4, 5, 6, 7))),
        ("[4,2]<=[2,4]T(1,0)", ((0, 4), (1, 5), (2, 6), (3, 7))),
        ("mesh['x'=2,'y'=4] {'y'}, to_apply=%add", ((0, 1, 2, 3), (4, 5, 6, 7))),
        ("mesh['x'=2,'y'=4] {'x'}", ((0, 4), (1, 5), (2, 6), (3, 7))),
        ("mesh['x'=2,'y'=4] {'x','y'}", ((0, 1, 2, 3, 4, 5, 6, 7),)),
        ("mesh['x'=2,'y'=4] {'y':(2)2}", ((0, 1), (2, 3), (4, 5), (6, 7))),
        ("mesh['x'=2,'y'=4] {'y':(1)2}", ((0, 2), (1, 3), (4, 6), (5, 7))),
        (
            "mesh['a'=4,'b'=2], device_ids=([2,2,2]T(0,2,1)) {'b'}",
            ((0, 2), (1, 3), (4, 6), (5, 7)),
        ),
    ],
)
def test_parse_replica_groups(text: str, groups: tuple[tuple[int, ...], ...]) -> None:
    assert parse_replica_groups(text, 8) == groups


def test_parse_replica_groups_of_unknown_form() -> None:
    with pytest.raises(ValueError, match="expected replica groups, got '<8>'"):
        parse_replica_groups("<8>", 8)


def test_with_captured_log_reads_file_descriptor_two(capfd: pytest.CaptureFixture[str]) -> None:
    line = "W1 spmd.cc:1] [SPMD] Involuntary full rematerialization. The compiler cannot go\n"
    result, log = with_captured_log(lambda: os.write(2, line.encode()))
    assert result == len(line)
    assert rematerializations(log) == ["The compiler cannot go"]
    assert capfd.readouterr().err == line
