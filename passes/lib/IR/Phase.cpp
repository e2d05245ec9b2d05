// See the header.

#include "alpa/IR/Phase.h"
#include "alpa/IR/Attributes.h"

namespace alpa {

llvm::StringRef name(Phase phase) {
  switch (phase) {
  case Phase::Prologue:
    return "prologue";
  case Phase::Forward:
    return "forward";
  case Phase::Backward:
    return "backward";
  case Phase::Update:
    return "update";
  }
  return "";
}

std::optional<Phase> phaseOf(mlir::Operation *op) {
  auto text = op->getAttrOfType<mlir::StringAttr>(kPhaseAttr);
  for (Phase phase : {Phase::Prologue, Phase::Forward, Phase::Backward, Phase::Update})
    if (text && text.getValue() == name(phase))
      return phase;
  return std::nullopt;
}

} // namespace alpa
