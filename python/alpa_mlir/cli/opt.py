"""`alpa-opt`: `mlir-opt` for StableHLO modules with the passes of alpa_mlir."""

import signal
import sys

import jax

from alpa_mlir import _native
from alpa_mlir.ir.host import JaxlibHost


def main() -> None:
    """Entry point of the console script."""
    # As any filter does, end quietly when the reader of our output is gone.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    host_version = f"JAX {jax.__version__}"
    sys.exit(_native.run_opt(["alpa-opt", *sys.argv[1:]], host_version, JaxlibHost()))


if __name__ == "__main__":
    main()
