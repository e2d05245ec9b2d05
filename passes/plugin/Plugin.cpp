// The entry point of AlpaPasses.so: `mlir-opt-22 --load-pass-plugin=AlpaPasses.so` calls it to
// register our passes.

#include "alpa/Passes.h"
#include "mlir/Tools/Plugins/PassPlugin.h"

extern "C" LLVM_ATTRIBUTE_VISIBILITY_DEFAULT LLVM_ATTRIBUTE_WEAK ::mlir::PassPluginLibraryInfo
mlirGetPassPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, "AlpaPasses", ALPA_VERSION, [] { alpa::registerPasses(); }};
}
