// The limits of XLA's partitioner, op by op.

#include "alpa/Sharding/Partitioner.h"
#include "alpa/IR/Stablehlo.h"
#include "alpa/Sharding/ChosenShardings.h"

namespace alpa {
namespace {

/// Whether XLA adds up partial results of `op` when a reduction factor is split.
bool combinesPartialResults(mlir::Operation *op) {
  switch (kindOf(op)) {
  case OpKind::DotGeneral:
  case OpKind::Convolution:
  case OpKind::Gather: // rows of a split dim are masked, then summed
    return true;
  case OpKind::Reduce:
  case OpKind::Scatter:
    return reductionKind(op) != ReductionKind::None && op->getNumResults() == 1;
  default:
    return false;
  }
}

bool isFloat(mlir::Type type) {
  return llvm::isa<mlir::FloatType>(mlir::getElementTypeOrSelf(type));
}

/// 0 where an op that nobody verified names a dim that is not there.
int64_t sizeOf(mlir::Value value, size_t dim) {
  const std::vector<int64_t> shape = shapeOf(value.getType());
  return dim < shape.size() ? shape[dim] : 0;
}

/// A spatial dim can be contracted in pieces when the window covers all of it at once, as in the
/// kernel gradient of a pointwise convolution. Otherwise XLA exchanges halos, and on a mesh with
/// further axes adds them up wrongly.
bool canContractInPieces(mlir::Operation *op, const ConvDims &dims, const ShardingRule &rule,
                         int factor) {
  for (auto [i, dim] : llvm::enumerate(dims.input.spatial))
    if (sizeOf(op->getOperand(0), dim) == 0 ||
        (llvm::is_contained(rule.operands[0][dim], factor) &&
         (sizeOf(op->getResult(0), dims.output.spatial[i]) != 1 || dims.paddingLow[i] != 0 ||
          dims.paddingHigh[i] != 0)))
      return false;
  return true;
}

bool canSplitConvolution(mlir::Operation *op, const ShardingRule &rule, int factor) {
  mlir::FailureOr<ConvDims> dims = convDims(op);
  if (mlir::failed(dims))
    return false;
  // Groups of several channels: XLA gathers the operands, and for some splits of a kernel gradient
  // it aborts. (A depthwise convolution's kernel gradient has batch groups of one channel.)
  for (auto [groups, channels] : {std::pair(dims->featureGroups, dims->input.feature),
                                  std::pair(dims->batchGroups, dims->input.batch)})
    if (groups > 1 && groups != sizeOf(op->getOperand(0), channels))
      return false;
  // Groups of one channel can be split, but not the channels that each of them makes.
  auto isIn = [&](const ShardingRule::TensorFactors &tensor, int64_t dim) {
    return dim < static_cast<int64_t>(tensor.size()) && llvm::is_contained(tensor[dim], factor);
  };
  if (dims->featureGroups > 1 && isIn(rule.results[0], dims->output.feature) &&
      !isIn(rule.operands[0], dims->input.feature))
    return false;
  return canContractInPieces(op, *dims, rule, factor);
}

/// A dim that is updated in part is gathered, but for a single row: each device asks whether it is
/// its own.
bool canSplitUpdate(mlir::Operation *op, const ShardingRule &rule, int factor) {
  mlir::Value operand = op->getOperand(0), update = op->getOperand(1);
  for (size_t dim = 0; dim < rule.operands[0].size(); ++dim)
    if (llvm::is_contained(rule.operands[0][dim], factor) &&
        sizeOf(update, dim) != sizeOf(operand, dim) && sizeOf(update, dim) != 1)
      return false;
  return true;
}

} // namespace

bool reducesOnWholeMeshOnly(mlir::Operation *op) {
  mlir::FailureOr<ConvDims> dims = mlir::failure();
  if (kindOf(op) == OpKind::Convolution)
    dims = convDims(op);
  return mlir::succeeded(dims) && dims->batchGroups > 1;
}

bool forwardsShardings(mlir::Operation *op) {
  return isElementwise(op) || kindOf(op) == OpKind::BroadcastInDim ||
         kindOf(op) == OpKind::Transpose || kindOf(op) == OpKind::Reshape;
}

mlir::Type movedType(mlir::Value value) {
  auto isNarrower = [&](mlir::Type type) {
    return isFloat(type) && isFloat(value.getType()) &&
           elementBytesOf(type) < elementBytesOf(value.getType());
  };
  mlir::Operation *op = value.getDefiningOp();
  if (op && isConversion(op) && isNarrower(op->getOperand(0).getType()))
    return op->getOperand(0).getType();
  mlir::Type widest;
  for (mlir::Operation *reader : value.getUsers()) {
    if (!isConversion(reader) || !isNarrower(reader->getResult(0).getType()))
      return value.getType();
    mlir::Type read = reader->getResult(0).getType();
    if (!widest || elementBytesOf(widest) < elementBytesOf(read))
      widest = read;
  }
  return widest ? widest : value.getType();
}

bool canSplit(mlir::Operation *op, const ShardingRule &rule, int factor) {
  switch (rule.factorKinds[factor]) {
  case FactorKind::PassThrough:
    break;
  case FactorKind::Reduction:
    if (!combinesPartialResults(op))
      return false;
    break;
  case FactorKind::NeedReplication:
  case FactorKind::Permutation:
    return false;
  }
  switch (kindOf(op)) {
  case OpKind::Convolution:
    return canSplitConvolution(op, rule, factor);
  case OpKind::DynamicUpdateSlice:
    return canSplitUpdate(op, rule, factor);
  case OpKind::Fft:
  case OpKind::TopK:
    return false; // gathers even the dims along which it works row by row
  default:
    return true;
  }
}

} // namespace alpa
