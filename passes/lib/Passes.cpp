// Registration of every pass.

#include "alpa/Passes.h"
#include "mlir/Pass/PassRegistry.h"
#include <mutex>

namespace alpa {
namespace {
#define GEN_PASS_REGISTRATION
#include "alpa/Passes.h.inc"
} // namespace

void registerPasses() {
  static std::once_flag once;
  std::call_once(once, [] { registerAlpaPasses(); });
}

} // namespace alpa
