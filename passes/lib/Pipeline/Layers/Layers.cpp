// See the header.

#include "Layers.h"
#include "alpa/Analysis/TrainingPhases.h"
#include "alpa/IR/Stablehlo.h"

namespace alpa {
namespace {

constexpr int64_t kMaxSmallElements = 64;

bool isSmall(mlir::Value value) {
  auto type = llvm::dyn_cast<mlir::RankedTensorType>(value.getType());
  return type && type.hasStaticShape() && type.getNumElements() <= kMaxSmallElements;
}

mlir::Attribute attributeOf(mlir::Value argument, llvm::StringRef name) {
  auto found = llvm::dyn_cast<mlir::BlockArgument>(argument);
  auto function = llvm::cast<mlir::func::FuncOp>(found.getOwner()->getParentOp());
  return function.getArgAttr(found.getArgNumber(), name);
}

bool hasRole(mlir::Value argument, ArgumentRole role) {
  auto attribute = llvm::dyn_cast_or_null<mlir::StringAttr>(attributeOf(argument, kRoleAttr));
  return attribute && attribute.getValue() == name(role);
}

/// An argument that every part may ask for.
bool isFree(mlir::Value argument) {
  if (attributeOf(argument, kMicrobatchAttr))
    return true;
  if (!isSmall(argument) || attributeOf(argument, kAccumulatorAttr))
    return false;
  // What the prologue knows of examples goes through the layers, as the batch does, however small.
  if (attributeOf(argument, kPrologueAttr) &&
      !llvm::cast<mlir::RankedTensorType>(argument.getType()).getShape().empty())
    return false;
  return !hasRole(argument, ArgumentRole::Parameter) && !hasRole(argument, ArgumentRole::Batch);
}

/// Ops that alpa-split-microbatches made have no phase: they are backward if no forward op reads
/// them. What reads a backward value is backward.
std::vector<bool> backwardOps(const OuterOps &ops) {
  std::vector<bool> isBackward(ops.size());
  auto isIn = [&](int index) { return static_cast<bool>(isBackward[index]); };
  for (int index = ops.size() - 1; index >= 0; --index) {
    const OuterOp &node = ops[index];
    isBackward[index] = node.op->hasAttr(kPhaseAttr)
                            ? phaseOf(node.op) == Phase::Backward
                            : !node.readers.empty() && llvm::all_of(node.readers, isIn);
  }
  for (int index = 0; index < ops.size(); ++index)
    isBackward[index] = isBackward[index] || llvm::any_of(ops[index].producers, isIn);
  return isBackward;
}

} // namespace

std::optional<int64_t> argumentNumber(mlir::Value value, llvm::StringRef attribute) {
  if (!llvm::isa<mlir::BlockArgument>(value))
    return std::nullopt;
  return integerOf(attributeOf(value, attribute));
}

bool isParameter(mlir::Value value) {
  return llvm::isa<mlir::BlockArgument>(value) && hasRole(value, ArgumentRole::Parameter);
}

std::vector<bool> cloneableOps(const OuterOps &ops) {
  std::vector<bool> isCloneable(ops.size());
  for (int index = 0; index < ops.size(); ++index)
    isCloneable[index] =
        isRemovable(ops[index].op) && llvm::all_of(ops[index].reads, [&](mlir::Value value) {
          int producer = ops.producerOf(value);
          return producer < 0 ? isFree(value) : static_cast<bool>(isCloneable[producer]);
        });
  return isCloneable;
}

void settleCloneable(const OuterOps &ops, const std::vector<bool> &isCloneable,
                     std::vector<int> &layers) {
  std::vector<bool> needsArgument(ops.size());
  for (int index = 0; index < ops.size(); ++index)
    needsArgument[index] = llvm::any_of(ops[index].reads, [&](mlir::Value value) {
      int producer = ops.producerOf(value);
      return producer < 0 || needsArgument[producer];
    });
  for (int index = ops.size() - 1; index >= 0; --index) {
    llvm::ArrayRef<int> readers = ops[index].readers;
    if (!isCloneable[index] || !needsArgument[index] || readers.empty())
      continue;
    if (llvm::all_of(readers, [&](int reader) { return layers[reader] == layers[readers[0]]; }))
      layers[index] = layers[readers[0]];
  }
}

MicrobatchLayers::MicrobatchLayers(OuterOps outerOps)
    : ops(std::move(outerOps)), isCloneable(cloneableOps(ops)), isBackward(backwardOps(ops)),
      recomputes(ops.size(), -1), layers(ops.size(), kNoLayer) {
  findRecomputations(*this);
}

std::map<int64_t, std::set<int>> MicrobatchLayers::parameterLayers() const {
  std::map<int64_t, std::set<int>> forward, backward;
  for (int index = 0; index < ops.size(); ++index)
    for (mlir::Value value : ops[index].reads)
      if (isParameter(value) && layers[index] != kNoLayer)
        (isBackward[index] ? backward : forward)[*argumentNumber(value, kArgumentAttr)].insert(
            layers[index]);
  forward.insert(backward.begin(), backward.end());
  return forward;
}

std::map<int64_t, int> MicrobatchLayers::accumulatorLayers() const {
  std::map<int64_t, int> result;
  mlir::func::FuncOp function = ops.function();
  mlir::Operation &terminator = function.getBody().front().back();
  for (auto [number, value] : llvm::enumerate(terminator.getOperands())) {
    std::optional<int64_t> accumulator =
        integerOf(function.getResultAttr(number, kAccumulatorAttr));
    if (int producer = ops.producerOf(value); accumulator && producer >= 0)
      result[*accumulator] = layers[producer];
  }
  return result;
}

} // namespace alpa
