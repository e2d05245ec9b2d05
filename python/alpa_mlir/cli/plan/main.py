"""`alpa-plan`: the group of commands."""

import signal

import click

from alpa_mlir.cli.plan.profile import profile
from alpa_mlir.cli.plan.validate import validate


@click.group(name="alpa-plan")
def group() -> None:
    """Plans for training steps, and the devices they are for."""


group.add_command(profile)
group.add_command(validate)


def main() -> None:
    """Entry point of the console script."""
    # As any filter does, end quietly when the reader of our output is gone.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    group()


if __name__ == "__main__":
    main()
