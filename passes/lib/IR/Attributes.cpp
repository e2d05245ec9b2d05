// See the header.

#include "alpa/IR/Attributes.h"
#include "mlir/IR/BuiltinAttributes.h"

namespace alpa {

std::optional<int64_t> integerOf(mlir::Attribute attribute) {
  auto integer = llvm::dyn_cast_or_null<mlir::IntegerAttr>(attribute);
  return integer ? std::optional(integer.getInt()) : std::nullopt;
}

std::optional<int64_t> layerOf(mlir::Operation *op) { return integerOf(op->getAttr(kLayerAttr)); }

} // namespace alpa
