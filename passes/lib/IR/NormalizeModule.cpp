#include "alpa/Passes.h"
namespace alpa {
#define GEN_PASS_DEF_NORMALIZEMODULE
#include "alpa/Passes.h.inc"
namespace {
struct NormalizeModule : impl::NormalizeModuleBase<NormalizeModule> {
  void runOnOperation() override {}
};
} // namespace
} // namespace alpa
