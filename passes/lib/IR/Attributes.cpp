// See the header.

#include "alpa/IR/Attributes.h"
#include "mlir/IR/BuiltinAttributes.h"

namespace alpa {

std::optional<int64_t> integerOf(mlir::Attribute attribute) {
  auto integer = llvm::dyn_cast_or_null<mlir::IntegerAttr>(attribute);
  return integer ? std::optional(integer.getInt()) : std::nullopt;
}

std::optional<int64_t> layerOf(mlir::Operation *op) { return integerOf(op->getAttr(kLayerAttr)); }

int64_t numLayers(mlir::ModuleOp module) {
  int64_t count = 0;
  module.walk([&](mlir::Operation *op) { count = std::max(count, layerOf(op).value_or(-1) + 1); });
  return count;
}

} // namespace alpa
