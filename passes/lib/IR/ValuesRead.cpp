// See the header.

#include "alpa/IR/ValuesRead.h"
#include "mlir/Transforms/RegionUtils.h"

namespace alpa {

llvm::SetVector<mlir::Value> valuesRead(mlir::Operation *op) {
  llvm::SetVector<mlir::Value> values(op->operand_begin(), op->operand_end());
  mlir::getUsedValuesDefinedAbove(op->getRegions(), values);
  return values;
}

} // namespace alpa
