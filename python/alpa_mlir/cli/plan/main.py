"""`alpa-plan`: the group of commands."""

import click

from alpa_mlir.cli.command import OneLineGroup
from alpa_mlir.cli.plan.compare import compare
from alpa_mlir.cli.plan.explain import explain
from alpa_mlir.cli.plan.plan import plan
from alpa_mlir.cli.plan.profile import profile
from alpa_mlir.cli.plan.show import show
from alpa_mlir.cli.plan.simulate import simulate
from alpa_mlir.cli.plan.trace import trace
from alpa_mlir.cli.plan.validate import validate


@click.group(name="alpa-plan", cls=OneLineGroup)
def group() -> None:
    """Plans for training steps, and the devices they are for.

    trace and plan make files; explain, simulate, compare, show and validate read them. What is
    wrong with what they are given is one line on standard error and exit code 2.

    For completion in bash, put this into ~/.bashrc (zsh and fish have zsh_source and fish_source):
    eval "$(_ALPA_PLAN_COMPLETE=bash_source alpa-plan)"
    """


for each in (trace, plan, explain, simulate, compare, show, validate, profile):
    group.add_command(each)


def main() -> None:
    """Entry point of the console script."""
    group()


if __name__ == "__main__":
    main()
