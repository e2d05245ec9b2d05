// alpa_mlir._native: the C++ side of the package. Each area binds itself in a file of its own.

#include "native.h"

NB_MODULE(_native, m) {
  // A solver that the user left running at exit holds on to its problem.
  nanobind::set_leak_warnings(false);
  m.doc() = "C++ core and passes of alpa_mlir";
  m.attr("VERSION") = ALPA_VERSION;
  bindModule(m);
  bindShardingModel(m);
  bindProblem(m);
  bindLayer(m);
  bindStage(m);
  bindTransfer(m);
  bindSimulate(m);
  bindEnergy(m);
  bindArguments(m);
  bindOpt(m);
}
