// See the header.

#include "RowWise.h"
#include "alpa/IR/StablehloBuilder.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/STLExtras.h"

namespace alpa {
namespace {

mlir::RankedTensorType staticTensor(mlir::Value value) {
  auto type = llvm::dyn_cast<mlir::RankedTensorType>(value.getType());
  return type && type.hasStaticShape() ? type : nullptr;
}

/// The dim of a reshape's operand that is dim `resultDim` of its result, with the same dims
/// outside.
std::optional<int> reshapedFrom(mlir::RankedTensorType from, mlir::RankedTensorType to, int dim) {
  int64_t outside = 1;
  for (int i = 0; i < dim; ++i)
    outside *= to.getDimSize(i);
  int64_t product = 1;
  for (int i = 0; i < from.getRank(); product *= from.getDimSize(i++))
    if (product == outside && from.getDimSize(i) == to.getDimSize(dim))
      return i;
  return std::nullopt;
}

/// The dim of the operand that is left over as dim `resultDim` when others are reduced.
std::optional<int> keptDim(mlir::Operation *reduce, int64_t rank, int resultDim) {
  mlir::FailureOr<Dims> reduced = reducedDims(reduce);
  if (mlir::failed(reduced) || reduce->getNumOperands() != 2)
    return std::nullopt;
  for (int dim = 0, kept = 0; dim < rank; ++dim)
    if (!llvm::is_contained(*reduced, dim) && kept++ == resultDim)
      return dim;
  return std::nullopt;
}

std::optional<RowDims> elementwiseRows(mlir::Operation *op, mlir::RankedTensorType result,
                                       int resultDim) {
  RowDims dims;
  for (mlir::Value operand : op->getOperands()) {
    mlir::RankedTensorType type = staticTensor(operand);
    if (!type || (type.getRank() > 0 && type.getShape() != result.getShape()))
      return std::nullopt;
    dims.push_back(type.getRank() > 0 ? resultDim : kWhole);
  }
  return dims;
}

std::optional<RowDims> broadcastRows(mlir::Operation *op, mlir::RankedTensorType operand,
                                     mlir::RankedTensorType result, int resultDim) {
  mlir::FailureOr<Dims> dims = broadcastDims(op);
  if (mlir::failed(dims))
    return std::nullopt;
  const auto *found = llvm::find(*dims, resultDim);
  if (found == dims->end())
    return RowDims{kWhole};
  const auto dim = static_cast<int>(found - dims->begin());
  const bool isSpread = operand.getDimSize(dim) != result.getDimSize(resultDim);
  return RowDims{isSpread ? kWhole : dim};
}

/// Batch dims alone: of a free dim one operand would be read whole by every row.
std::optional<RowDims> dotRows(mlir::Operation *op, int resultDim) {
  mlir::FailureOr<DotDims> dims = dotDims(op);
  if (mlir::failed(dims) || resultDim >= static_cast<int>(dims->lhsBatch.size()))
    return std::nullopt;
  return RowDims{static_cast<int>(dims->lhsBatch[resultDim]),
                 static_cast<int>(dims->rhsBatch[resultDim])};
}

std::optional<RowDims> single(std::optional<int> dim) {
  return dim ? std::optional(RowDims{*dim}) : std::nullopt;
}

} // namespace

bool slicesOnly(mlir::Operation *slice, int dim) {
  mlir::FailureOr<SliceDims> dims = sliceDims(slice);
  if (mlir::failed(dims))
    return false;
  mlir::RankedTensorType type = staticTensor(slice->getOperand(0));
  for (int i = 0; type && i < type.getRank(); ++i) {
    const bool isAll = dims->starts[i] == 0 && dims->limits[i] == type.getDimSize(i);
    if (dims->strides[i] != 1 || (i != dim && !isAll))
      return false;
  }
  return type != nullptr;
}

std::optional<RowDims> rowDims(mlir::Operation *op, int resultDim) {
  if (op->getNumResults() != 1)
    return std::nullopt;
  mlir::RankedTensorType result = staticTensor(op->getResult(0));
  if (!result || resultDim >= result.getRank())
    return std::nullopt;
  if (isElementwise(op))
    return elementwiseRows(op, result, resultDim);
  if (op->getNumOperands() == 0) // what is the same in all rows
    return kindOf(op) == OpKind::Constant && splatElement(op->getResult(0))
               ? std::optional(RowDims{})
               : std::nullopt;
  mlir::RankedTensorType operand = staticTensor(op->getOperand(0));
  if (!operand)
    return std::nullopt;
  switch (kindOf(op)) {
  case OpKind::BroadcastInDim:
    return broadcastRows(op, operand, result, resultDim);
  case OpKind::Transpose: {
    mlir::FailureOr<Dims> order = permutation(op);
    return mlir::succeeded(order) ? single(static_cast<int>((*order)[resultDim])) : std::nullopt;
  }
  case OpKind::Reshape:
    return single(reshapedFrom(operand, result, resultDim));
  case OpKind::Reduce: {
    std::optional<int> dim = keptDim(op, operand.getRank(), resultDim);
    return dim ? std::optional(RowDims{*dim, kWhole}) : std::nullopt;
  }
  case OpKind::DotGeneral:
    return dotRows(op, resultDim);
  default:
    return std::nullopt;
  }
}

std::optional<int> resultRowDim(mlir::Operation *op, unsigned operand, int dim) {
  if (op->getNumResults() != 1)
    return std::nullopt;
  mlir::RankedTensorType result = staticTensor(op->getResult(0));
  for (int i = 0; result && i < result.getRank(); ++i)
    if (std::optional<RowDims> dims = rowDims(op, i); dims && (*dims)[operand] == dim)
      return i;
  return std::nullopt;
}

} // namespace alpa
