"""`alpa-opt` as its console script starts it, but for the garbage collector.

A test is over before there is garbage, and a sixth of a start is looking for some among imports.
"""

import gc

gc.disable()

from alpa_mlir.cli.opt import main  # noqa: E402

main()
