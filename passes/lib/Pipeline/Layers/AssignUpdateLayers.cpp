// Ops of the update go where their parameter is. What is joined element by element (a parameter,
// its moments, its gradient, all made of them) is one group, and belongs to the layer of the
// parameter in it. A sum over a group (a squared norm) belongs to it too; what combines such sums
// of several layers is in layer 0. Broadcasts join nothing: they go to the layer of what reads
// them.

#include "Layers.h"
#include "alpa/IR/Stablehlo.h"
#include "llvm/ADT/IntEqClasses.h"

namespace alpa {
namespace {

class UpdateLayers {
public:
  UpdateLayers(const OuterOps &ops, const MicrobatchLayers &microbatch)
      : ops(ops), isCloneable(cloneableOps(ops)), parameters(microbatch.parameterLayers()),
        accumulators(microbatch.accumulatorLayers()),
        numArguments(ops.function().getNumArguments()), isSpread(ops.size()),
        groups(numArguments + ops.size()), layers(ops.size(), kNoLayer) {}

  std::vector<int> run() {
    for (int index = 0; index < ops.size(); ++index)
      join(index);
    findGroupLayers();
    for (int index = 0; index < ops.size(); ++index)
      if (!isCloneable[index] && !isSpread[index])
        layers[index] = layerOf(index);
    giveToReaders();
    settleCloneable(ops, isCloneable, layers);
    return std::move(layers);
  }

private:
  /// Arguments first, then ops.
  unsigned memberOf(mlir::Value value) const {
    if (auto argument = llvm::dyn_cast<mlir::BlockArgument>(value))
      return argument.getArgNumber();
    return numArguments + ops.producerOf(value);
  }

  bool isEverywhere(mlir::Value value) const {
    int producer = ops.producerOf(value);
    return producer >= 0 && (isCloneable[producer] || isSpread[producer]);
  }

  static int64_t numElements(mlir::Value value) {
    auto type = llvm::dyn_cast<mlir::RankedTensorType>(value.getType());
    return type && type.hasStaticShape() ? type.getNumElements() : -1;
  }

  /// Not so where it only adds dims of size one.
  static bool isBroadcast(mlir::Operation *op) {
    return kindOf(op) == OpKind::BroadcastInDim &&
           numElements(op->getOperand(0)) != numElements(op->getResult(0));
  }

  /// Whether of broadcasts it makes what might as well be broadcast.
  static bool isSpreadAlike(mlir::Operation *op) {
    OpKind kind = kindOf(op);
    return kind == OpKind::Elementwise || kind == OpKind::BroadcastInDim ||
           kind == OpKind::Reshape || kind == OpKind::Transpose;
  }

  /// Whether the elements of an operand become elements of the result.
  static bool isJoined(mlir::Operation *op, mlir::Value operand) {
    switch (kindOf(op)) {
    case OpKind::Elementwise:
      return numElements(operand) == numElements(op->getResult(0));
    case OpKind::BroadcastInDim:
    case OpKind::Reshape:
    case OpKind::Transpose:
    case OpKind::Slice:
    case OpKind::Concatenate:
    case OpKind::Pad:
    case OpKind::Reverse:
    case OpKind::DynamicUpdateSlice:
    case OpKind::BitcastConvert:
    case OpKind::ShardingConstraint:
      return numElements(operand) > 1;
    default:
      return false;
    }
  }

  void join(int index) {
    const OuterOp &node = ops[index];
    if (isCloneable[index])
      return;
    isSpread[index] = isBroadcast(node.op) ||
                      (isSpreadAlike(node.op) && llvm::all_of(node.reads, [&](mlir::Value value) {
                         return isEverywhere(value);
                       }));
    if (isSpread[index])
      return;
    for (mlir::Value value : node.reads)
      if (!isEverywhere(value) && isJoined(node.op, value))
        groups.join(memberOf(value), numArguments + index);
  }

  std::optional<int> layerOfArgument(mlir::Value argument) const {
    auto find = [&](auto &layers, std::optional<int64_t> number) -> std::optional<int> {
      auto found = number ? layers.find(*number) : layers.end();
      if (found == layers.end())
        return std::nullopt;
      if constexpr (std::is_same_v<std::decay_t<decltype(found->second)>, int>)
        return found->second;
      else
        return *found->second.begin();
    };
    if (isParameter(argument))
      return find(parameters, argumentNumber(argument, kArgumentAttr));
    return find(accumulators, argumentNumber(argument, kAccumulatorAttr));
  }

  void findGroupLayers() {
    groups.compress();
    groupLayers.resize(groups.getNumClasses());
    std::vector<std::set<int>> ofParameters(groupLayers.size()), ofSums(groupLayers.size());
    for (mlir::BlockArgument argument : ops.function().getArguments())
      if (std::optional<int> layer = layerOfArgument(argument))
        (isParameter(argument) ? ofParameters : ofSums)[groups[memberOf(argument)]].insert(*layer);
    for (size_t group = 0; group < groupLayers.size(); ++group) {
      const std::set<int> &known =
          ofParameters[group].empty() ? ofSums[group] : ofParameters[group];
      if (known.size() == 1)
        groupLayers[group] = *known.begin();
    }
  }

  std::optional<int> layerOfValue(mlir::Value value) const {
    int producer = ops.producerOf(value);
    if (producer >= 0)
      return layers[producer] == kNoLayer ? std::nullopt : std::optional(layers[producer]);
    if (std::optional<int> layer = groupLayers[groups[memberOf(value)]])
      return layer;
    return layerOfArgument(value);
  }

  int layerOf(int index) const {
    const OuterOp &node = ops[index];
    if (std::optional<int> layer = groupLayers[groups[numArguments + index]])
      return *layer;
    // A group of several parameters (their gradients in one flat vector), or of none.
    std::set<int> ofParameters, ofOthers;
    for (mlir::Value value : node.reads)
      if (std::optional<int> layer = layerOfValue(value))
        (isParameter(value) ? ofParameters : ofOthers).insert(*layer);
    if (!ofParameters.empty())
      return *ofParameters.begin();
    return ofOthers.size() == 1 ? *ofOthers.begin() : 0;
  }

  void giveToReaders() {
    for (int index = ops.size() - 1; index >= 0; --index) {
      llvm::ArrayRef<int> readers = ops[index].readers;
      if (isSpread[index] && !readers.empty() &&
          llvm::all_of(readers, [&](int i) { return layers[i] == layers[readers[0]]; }))
        layers[index] = layers[readers[0]];
    }
  }

  const OuterOps &ops;
  std::vector<bool> isCloneable;
  std::map<int64_t, std::set<int>> parameters;
  std::map<int64_t, int> accumulators;
  unsigned numArguments;
  /// Broadcasts, and what is made of nothing but broadcasts.
  std::vector<bool> isSpread;
  llvm::IntEqClasses groups;
  std::vector<std::optional<int>> groupLayers;
  std::vector<int> layers;
};

} // namespace

std::vector<int> assignUpdateLayers(const OuterOps &update, const MicrobatchLayers &microbatch) {
  return UpdateLayers(update, microbatch).run();
}

} // namespace alpa
