// See the header.

#include "alpa/IR/RoundedResults.h"
#include "alpa/IR/Stablehlo.h"

namespace alpa {

mlir::FloatType roundsTo(mlir::Operation *op) {
  auto attribute = op->getAttrOfType<mlir::TypeAttr>(kRoundsToAttr);
  if (!attribute || kindOf(op) != OpKind::Convolution || op->getNumResults() != 1)
    return {};
  auto type = llvm::dyn_cast<mlir::RankedTensorType>(op->getResult(0).getType());
  auto wide = type ? llvm::dyn_cast<mlir::FloatType>(type.getElementType()) : mlir::FloatType();
  auto narrow = llvm::dyn_cast<mlir::FloatType>(attribute.getValue());
  return wide && narrow && narrow.getWidth() < wide.getWidth() ? narrow : mlir::FloatType();
}

} // namespace alpa
