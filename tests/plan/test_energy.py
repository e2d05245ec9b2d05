"""Energy profiles and what plans make of them: files, errors, the power model, pictures."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import alpa_mlir as alpa
import optax
import pytest
from alpa_mlir import planner
from alpa_mlir.cli.energy import main
from alpa_mlir.energy.objective import choose_by_energy
from alpa_mlir.energy.problem import EnergyStep
from alpa_mlir.energy.profile import ProfiledChoice
from alpa_mlir.errors import EnergyError, InfeasibleError
from alpa_mlir.models.workload import workload
from alpa_mlir.plan.data import PlanData
from alpa_mlir.simulate.planned import planned_timeline
from click.testing import CliRunner
from oracles.published_energy import PROFILE, needs_data
from programs.training_steps import STEPS

CLUSTER = replace(
    alpa.Cluster.preset("dgx-a100"), num_nodes=1, devices_per_node=4, name="half a node"
)


def two_stages(**changes: object) -> EnergyStep:
    """Two stages, two microbatches; changes are of the choices of stage 0's forward."""
    choices = [
        ProfiledChoice(stage, instruction, clock, time, energy)
        for stage in (0, 1)
        for instruction in ("forward", "backward")
        for clock, time, energy in ((1000.0, 0.1, 30.0), (800.0, 0.12, 26.0), (600.0, 0.15, 24.0))
    ]
    choices[0] = replace(choices[0], **changes)  # pyright: ignore[reportArgumentType]
    return EnergyStep(alpa.EnergyProfile(tuple(choices), (10.0, 10.0)), "1f1b", 2, 2)


@pytest.fixture(scope="module")
def plan() -> alpa.Plan:
    gpt = workload("gpt", "debug", 8, optax.adam(1e-3))
    method = alpa.PipelineParallel(
        num_stages=2,
        num_microbatches=4,
        num_layers=2,
        num_processes=0,
        cache_dir=None,
        time_limit_seconds=1,
        target_gap=0.05,
    )
    return alpa.parallelize(gpt.train_step, method, CLUSTER).plan(*gpt.abstract_arguments())


@pytest.mark.parametrize("schedule", ["1f1b", "eager_1f1b", "gpipe"])
def test_plan_has_a_frontier_under_every_schedule(plan: alpa.Plan, schedule: str) -> None:
    frontier = plan.energy(schedule=schedule)
    frontier.verify()
    assert frontier.step.schedule == schedule
    joules = [point.joules for point in frontier.pareto]
    assert joules == sorted(joules)
    made = frontier.plan(frontier.fastest)
    assert made.joules <= made.rounded_joules
    assert 0 <= made.gap < 0.05
    tasks = {str(task) for task in made.frequencies}
    assert {"F0.0", "B1.3", "U0", "U1"} <= tasks


def test_frontier_at_the_highest_clock_takes_as_long_as_the_plan(plan: alpa.Plan) -> None:
    """But for what is sent once in a step, copies of state above all (docs/energy.md, Limits)."""
    fastest = plan.energy().fastest.seconds
    values = tuple(
        group
        if group.is_per_microbatch
        else replace(group, held=tuple(replace(each, received_bytes=0) for each in group.held))
        for group in plan.values
    )
    without = planned_timeline(replace(plan, values=values)).makespan_seconds
    assert fastest == pytest.approx(without, rel=0.05)
    assert fastest <= plan.step_seconds


def test_prologue_and_rounds_of_an_update_are_planned() -> None:
    """Clipping by a global norm updates in two rounds; a count of tokens is a prologue."""
    method = alpa.PipelineParallel(
        num_stages=2, num_microbatches=4, num_layers=2, num_processes=0, cache_dir=None
    )
    step = STEPS["everything"]
    planned = alpa.parallelize(step.function, method, CLUSTER).plan(*step.arguments)
    assert planned.prologue is not None
    frontier = planned.energy()
    frontier.verify()
    fastest = frontier.fastest.plan()
    stage = planned.prologue.stage
    assert str(fastest.stages[stage][0].task) == f"P{stage}"
    names = {str(task) for task in fastest.frequencies}
    assert {"U0", "U0.r1", "U1", "U1.r1"} <= names
    begins = {str(p.task): p.start_seconds for tasks in fastest.stages for p in tasks}
    ends = {str(p.task): p.end_seconds for tasks in fastest.stages for p in tasks}
    assert min(begins["U0.r1"], begins["U1.r1"]) >= max(ends["U0"], ends["U1"]) - 1e-12
    assert min(begins["F0.0"], begins["F1.0"]) >= ends[f"P{stage}"] - 1e-12
    assert frontier._highest[0] == pytest.approx(planned.step_seconds, rel=0.5)


def test_rounds_share_the_update_and_wait_for_one_another() -> None:
    step = two_stages()
    updates = [
        ProfiledChoice(stage, "update", clock, time * (1 + stage), energy)
        for stage in (0, 1)
        for clock, time, energy in ((1000.0, 0.2, 40.0), (800.0, 0.24, 32.0))
    ]
    profile = replace(step.profile, choices=(*step.profile.choices, *updates))
    once = alpa.EnergyFrontier.of(replace(step, profile=profile))
    twice = alpa.EnergyFrontier.of(replace(step, profile=profile, num_update_rounds=2))
    # 1F1B: the first stage ends its backwards 0.1 s later, so that the second is done 0.1 s later.
    assert once._highest[0] == pytest.approx(0.6 + max(0.2, 0.4 - 0.1))
    first_rounds = 0.6 + max(0.1, 0.2 - 0.1)
    assert twice._highest[0] == pytest.approx(first_rounds + 0.2)
    twice.verify()


def test_loading_of_data_takes_its_time() -> None:
    without = alpa.EnergyFrontier.of(two_stages())
    loading = alpa.EnergyFrontier.of(replace(two_stages(), load_seconds=0.05))
    loading.verify()
    assert loading._highest[0] == pytest.approx(without._highest[0] + 0.05)
    slow = alpa.EnergyFrontier.of(replace(two_stages(), load_seconds=1.0))
    # The second microbatch comes after 2 s; then its forwards and backwards on both stages.
    assert slow._highest[0] == pytest.approx(2.4)
    with pytest.raises(EnergyError, match="load_seconds"):
        replace(two_stages(), load_seconds=-1.0)


def planned_for(**objective: Any) -> alpa.Plan:
    gpt = workload("gpt", "debug", 8, optax.adam(1e-3))
    options: dict[str, Any] = {"num_microbatches": 4, **objective}
    method = alpa.Auto(
        num_layers=2,
        num_processes=0,
        cache_dir=None,
        time_limit_seconds=1,
        target_gap=0.05,
        **options,
    )
    return alpa.parallelize(gpt.train_step, method, CLUSTER).plan(*gpt.abstract_arguments())


def test_auto_plans_for_energy() -> None:
    cheap = planned_for(objective="energy")
    joules = cheap.energy().cheapest.joules
    assert cheap.is_pipeline
    assert cheap.remarks[-1].startswith(f"objective energy: {joules:.6g} J in ")
    assert cheap.remarks[-1] in cheap.explain().replace("\n", " ")


@pytest.mark.slow
def test_plans_with_every_number_of_microbatches_are_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[PlanData] = []

    def choose(plans: Iterable[PlanData], method: alpa.Auto) -> PlanData:
        compared.extend(plans)
        return choose_by_energy(compared, method)

    monkeypatch.setattr(planner, "choose_by_energy", choose)
    chosen = planned_for(objective="energy", num_microbatches="auto")
    kinds = [(plan.schedule, plan.num_microbatches) for plan in compared]
    assert len(set(kinds)) == len(kinds)
    assert {schedule for schedule, _ in kinds} == {"1f1b", "eager_1f1b", "gpipe"}
    assert len(kinds) > 3
    joules = [alpa.Plan.of(plan).energy().cheapest.joules for plan in compared]
    best = compared[joules.index(min(joules))]
    assert (chosen.schedule, chosen.num_microbatches) == (best.schedule, best.num_microbatches)
    fastest = min(compared, key=lambda plan: plan.step_seconds)
    assert chosen.energy().cheapest.joules <= alpa.Plan.of(fastest).energy().cheapest.joules


def test_limits_choose_other_points_and_are_kept(plan: alpa.Plan) -> None:
    frontier = plan.energy()
    middle = frontier.pareto[len(frontier.pareto) // 2]
    for method, expected in (
        (alpa.Auto(max_joules=middle.joules), middle),
        (alpa.Auto(objective="energy", max_step_seconds=middle.seconds), middle),
        (alpa.Auto(objective="energy"), frontier.cheapest),
    ):
        chosen = choose_by_energy([plan], method)
        assert f"{expected.joules:.6g} J in {expected.seconds:.6g} s" in chosen.remarks[-1]
    with pytest.raises(InfeasibleError, match=r"max_step_seconds=1e-09 and max_joules=None, got"):
        choose_by_energy([plan], alpa.Auto(objective="energy", max_step_seconds=1e-9))


def test_energy_of_one_program_is_refused(plan: alpa.Plan) -> None:
    whole = alpa.Plan.of(replace(plan, schedule="none"))
    with pytest.raises(EnergyError, match="expected the plan of a pipeline"):
        whole.energy()


def test_power_model_of_a_plan_without_times_is_refused(plan: alpa.Plan) -> None:
    idle = replace(
        plan,
        stages=tuple(
            replace(stage, forward_seconds=0.0, backward_seconds=0.0, update_seconds=0.0)
            for stage in plan.stages
        ),
    )
    with pytest.raises(EnergyError, match="a plan whose stages take time, got none that does"):
        alpa.EnergyProfile.from_model(idle)


def test_power_model_of_an_unknown_device_is_refused(plan: alpa.Plan) -> None:
    device = replace(plan.cluster.device, kind="abacus")
    other = replace(plan, cluster=replace(plan.cluster, device=device))
    with pytest.raises(EnergyError, match=r"got 'abacus'; describe its power with model="):
        alpa.EnergyProfile.from_model(other)
    model = alpa.PowerModel(100.0, 10.0, 5.0, 1.0, source="counted")
    assert alpa.EnergyProfile.from_model(other, model).blocking_watts == (2.0, 2.0)
    with pytest.raises(EnergyError, match="expected step_megahertz above 0"):
        alpa.PowerModel(100.0, 60.0, 5.0, 1.0, source="guessed")


def test_profile_and_frontier_are_the_same_from_files(tmp_path: Path) -> None:
    frontier = alpa.EnergyFrontier.of(two_stages())
    frontier.save(tmp_path / "frontier.json")
    loaded = alpa.EnergyFrontier.load(tmp_path / "frontier.json")
    assert loaded.points == frontier.points
    assert loaded.step == frontier.step
    frontier.step.profile.save(tmp_path / "profile.json")
    assert alpa.EnergyProfile.load(tmp_path / "profile.json") == frontier.step.profile
    frontier.to_csv(tmp_path / "points.csv")
    with (tmp_path / "points.csv").open() as file:
        rows = [(float(row["time"]), float(row["energy"])) for row in csv.DictReader(file)]
    assert rows == [(point.seconds, point.joules) for point in frontier.points]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stage,frequency\n", "expected the columns stage, instruction, frequency, time, energy"),
        ("stage,instruction,frequency,time,energy\n0,forward,x,1,1\n", "line 2: could not"),
        ("stage,instruction,frequency,time,energy\n0,sideways,1,1,1\n", "line 2, instruction:"),
        ("stage,instruction,frequency,time,energy\n0,forward,1,-1,1\n", "line 2, time: expected"),
        ("stage,instruction,frequency,time,energy\n", "choices: expected a length of at least 1"),
    ],
)
def test_damaged_csv_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "profile.csv"
    path.write_text(text)
    with pytest.raises(EnergyError, match=f"cannot read the energy profile .*{message}"):
        alpa.EnergyProfile.load(path, 10.0)


@needs_data
def test_csv_needs_the_blocking_power(tmp_path: Path) -> None:
    with pytest.raises(EnergyError, match="expected blocking_watts beside a CSV, got none"):
        alpa.EnergyProfile.load(PROFILE)
    (tmp_path / "p.json").write_text("[]")
    with pytest.raises(EnergyError, match="cannot read the energy profile"):
        alpa.EnergyProfile.load(tmp_path / "p.json")
    (tmp_path / "p.json").write_text('{"version": 9}')
    with pytest.raises(EnergyError, match=r"profile .*p\.json: .* a profile of version 1, got 9"):
        alpa.EnergyProfile.load(tmp_path / "p.json")
    with pytest.raises(EnergyError, match="expected a frontier of version 1, got 9"):
        alpa.EnergyFrontier.load(tmp_path / "p.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"energy": -1.0}, "forward of stage 0: expected joules between 0 and"),
        ({"time": 0.5}, "forward of stage 0: expected times that fall as frequencies rise"),
        ({"stage": 1}, None),
        ({"instruction": "update"}, "update of stage 0: expected at least two choices"),
        ({"time": 1e9}, "forward of stage 0: expected at most .* time units"),
    ],
)
def test_wrong_profiles_are_refused_by_name(
    changes: dict[str, object], message: str | None
) -> None:
    step = two_stages(**changes)
    if message is None:  # three choices of stage 0 became two
        alpa.EnergyFrontier.of(step)
        return
    with pytest.raises(EnergyError, match=message):
        alpa.EnergyFrontier.of(step)


def test_stages_without_profile_are_refused() -> None:
    step = two_stages()
    choices = tuple(c for c in step.profile.choices if (c.stage, c.instruction) != (1, "backward"))
    with pytest.raises(EnergyError, match="expected the backward of stage 1 in the profile"):
        alpa.EnergyFrontier.of(replace(step, profile=replace(step.profile, choices=choices)))
    with pytest.raises(EnergyError, match="expected the blocking power of 3 stages, got 2"):
        replace(step, num_stages=3)
    with pytest.raises(EnergyError, match="expected transfers of 2 stages or none, got 1"):
        replace(step, send_forward_seconds=(1.0,))


def test_transfers_far_longer_than_tasks_are_planned() -> None:
    """The bound's units are finer than the points', and a transfer has to fit into them."""
    step = replace(two_stages(), unit_seconds=0.001, send_forward_seconds=(400.0, 0.0))
    assert "within 0.0" in alpa.EnergyFrontier.of(step).explain()


def test_times_out_of_reach_are_refused() -> None:
    frontier = alpa.EnergyFrontier.of(two_stages())
    for find in (frontier.at, frontier.for_straggler):
        with pytest.raises(EnergyError, match=r"the fastest step, got 0\.1"):
            find(0.1)
    with pytest.raises(EnergyError, match=r"degree of slow-down of at least 1, got 0\.5"):
        frontier.plan_for_straggler(0.5)
    with pytest.raises(EnergyError, match="ends at some time, got one of inf"):
        frontier.for_straggler(inf)


@needs_data
def test_command_prints_the_ends_and_writes_files(tmp_path: Path) -> None:
    paths = {name: tmp_path / f"frontier.{name}" for name in ("csv", "json", "svg", "html")}
    arguments = [str(PROFILE), "--microbatches", "12", "--blocking-watts", "83.64"]
    arguments += [
        "--load-seconds",
        "0",
        "--straggler",
        "1.1",
        "--csv",
        str(paths["csv"]),
        "--json",
        str(paths["json"]),
    ]
    arguments += ["--plot", str(paths["svg"]), "--plot", str(paths["html"])]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "639 points, 2.818 to 3.456 s" in result.output
    assert "straggler 1.1 x: " in result.output
    assert len(paths["csv"].read_text().splitlines()) == 640
    planned = json.loads(paths["json"].read_text())
    assert [len(tasks) for tasks in planned["stages"]] == [24] * 8
    boxes = ElementTree.fromstring(paths["svg"].read_text()).findall("{*}rect/{*}title")
    assert len(boxes) == 2 * 8 * 24
    assert paths["html"].read_text().startswith("<!doctype html>")


def test_frontier_shows_itself_in_notebooks() -> None:
    frontier = alpa.EnergyFrontier.of(two_stages())
    html = frontier._repr_html_()
    assert frontier.explain().splitlines()[0] in html
    picture = html[html.index("<svg") : html.index("</svg>") + len("</svg>")]
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert "<script" not in html


@needs_data
def test_command_says_what_is_wrong_in_one_line() -> None:
    result = CliRunner().invoke(main, [str(PROFILE), "--microbatches", "2"])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: cannot read the energy profile")
    assert len(result.stderr.splitlines()) == 1


def test_explaining_many_tasks_does_not_wait_for_their_frontier(plan: alpa.Plan) -> None:
    many = replace(plan, num_microbatches=4000)
    assert "16000 tasks" in many.explain()
