// See the header.

#include "BatchResizer.h"
#include "alpa/Analysis/BatchFactor.h"
#include "alpa/Analysis/BatchFlow.h"
#include "alpa/IR/OpRules.h"

namespace alpa {
namespace {

void setSizes(mlir::Operation *op, llvm::StringRef name, llvm::ArrayRef<int64_t> values) {
  op->setAttr(name, mlir::Builder(op->getContext()).getDenseI64ArrayAttr(values));
}

} // namespace

mlir::Type BatchResizer::resized(mlir::Type type, const BatchDim &dim) const {
  auto tensor = llvm::cast<mlir::RankedTensorType>(type);
  return withSize(tensor, dim.dim, resizedExtent(tensor.getDimSize(dim.dim)));
}

mlir::Type BatchResizer::resized(mlir::Value value) const {
  std::optional<BatchDim> dim = batch.of(value);
  return dim ? resized(value.getType(), *dim) : value.getType();
}

llvm::LogicalResult BatchResizer::clone(mlir::Operation *op, mlir::OpBuilder &builder) {
  return cloneRegions(op, cloneAlone(op, builder));
}

mlir::Operation *BatchResizer::cloneAlone(mlir::Operation *op, mlir::OpBuilder &builder) {
  llvm::SmallVector<mlir::Value> operands;
  for (auto [i, operand] : llvm::enumerate(op->getOperands()))
    operands.push_back(operandFor(operand, wantedDim(op, i), builder));
  mlir::Operation *copy = op->cloneWithoutRegions();
  copy->setOperands(operands);
  builder.insert(copy);
  copy->removeAttr(kShardingRuleAttr); // its factors have the old sizes
  for (auto [from, to] : llvm::zip(op->getResults(), copy->getResults())) {
    to.setType(resized(from));
    mapping.map(from, to);
  }
  fitAttributes(op, copy);
  return copy;
}

void BatchResizer::fitAttributes(mlir::Operation *op, mlir::Operation *copy) const {
  const std::optional<BatchDim> dim =
      op->getNumOperands() > 0 ? batch.read(op, 0) : std::nullopt; // of the examples, all of them
  switch (kindOf(op)) {
  case OpKind::Slice:
    return dim ? fitSlice(op, *dim, copy) : void();
  case OpKind::Pad:
    return dim ? fitPad(op, *dim, copy) : void();
  case OpKind::DynamicSlice:
    return setSizes(copy, "slice_sizes", tensorOf(copy->getResult(0)).getShape());
  case OpKind::Gather: {
    auto sizes = op->getAttrOfType<mlir::DenseI64ArrayAttr>("slice_sizes");
    if (!sizes)
      return;
    llvm::SmallVector<int64_t> fitting(sizes.asArrayRef());
    for (auto [size, before, now] : llvm::zip(fitting, tensorOf(op->getOperand(0)).getShape(),
                                              tensorOf(copy->getOperand(0)).getShape()))
      size = size == before ? now : size;
    return setSizes(copy, "slice_sizes", fitting);
  }
  default:
    return;
  }
}

void BatchResizer::fitSlice(mlir::Operation *op, const BatchDim &dim, mlir::Operation *copy) const {
  mlir::FailureOr<SliceDims> dims = sliceDims(op);
  if (mlir::failed(dims))
    return;
  int64_t &start = dims->starts[dim.dim], &limit = dims->limits[dim.dim];
  // Of whole views of the batch whole views are left, else one of every few elements.
  if (dims->strides[dim.dim] == 1 && isWholePeriods(dim, start, limit)) {
    start = resizedExtent(start);
    limit = resizedExtent(limit);
  } else {
    limit += tensorOf(copy->getOperand(0)).getDimSize(dim.dim) -
             tensorOf(op->getOperand(0)).getDimSize(dim.dim);
  }
  setSizes(copy, "start_indices", dims->starts);
  setSizes(copy, "limit_indices", dims->limits);
}

void BatchResizer::fitPad(mlir::Operation *op, const BatchDim &dim, mlir::Operation *copy) const {
  mlir::FailureOr<PadDims> dims = padDims(op);
  if (mlir::failed(dims) || dims->interior[dim.dim] != 0)
    return;
  dims->low[dim.dim] = resizedExtent(dims->low[dim.dim]);
  dims->high[dim.dim] = resizedExtent(dims->high[dim.dim]);
  setSizes(copy, "edge_padding_low", dims->low);
  setSizes(copy, "edge_padding_high", dims->high);
}

llvm::LogicalResult BatchResizer::cloneRegions(mlir::Operation *from, mlir::Operation *to) {
  bool hasNodes = isWhile(from) || isBranch(from);
  for (auto [region, copy] : llvm::zip(from->getRegions(), to->getRegions())) {
    if (!hasNodes) {
      region.cloneInto(&copy, mapping); // it may read values from outside
      continue;
    }
    auto outerParts = parts;
    mlir::Block &block = copy.emplaceBlock();
    for (mlir::BlockArgument argument : region.getArguments())
      mapping.map(argument, block.addArgument(resized(argument), argument.getLoc()));
    mlir::OpBuilder builder = mlir::OpBuilder::atBlockEnd(&block);
    if (mlir::failed(cloneBody(region.front(), builder)))
      return mlir::failure();
    bool isCondition = isWhile(from) && &region == &whileCondition(from);
    mlir::Operation &terminator = region.front().back();
    llvm::SmallVector<mlir::Value> returned;
    for (auto [i, value] : llvm::enumerate(terminator.getOperands()))
      returned.push_back(
          operandFor(value, isCondition ? std::nullopt : batch.of(from->getResult(i)), builder));
    mlir::Operation *end = terminator.cloneWithoutRegions();
    end->setOperands(returned);
    builder.insert(end);
    parts = std::move(outerParts);
  }
  return mlir::success();
}

llvm::LogicalResult BatchResizer::cloneBody(mlir::Block &block, mlir::OpBuilder &builder) {
  for (mlir::Operation &op : block) // without_terminator() knows registered ops only
    if (&op != &block.back() && mlir::failed(clone(&op, builder)))
      return mlir::failure();
  return mlir::success();
}

std::optional<BatchDim> BatchResizer::wantedDim(mlir::Operation *op, unsigned operand) const {
  return isWhile(op) ? batch.of(op->getResult(operand)) : batch.read(op, operand);
}

mlir::Value BatchResizer::operandFor(mlir::Value operand, const std::optional<BatchDim> &wanted,
                                     mlir::OpBuilder &builder) {
  if (!wanted || batch.carries(operand))
    return mapping.lookupOrDefault(operand);
  return part(operand, *wanted, builder);
}

mlir::Value BatchResizer::part(mlir::Value value, const BatchDim &dim, mlir::OpBuilder &builder) {
  auto key = std::make_tuple(value.getAsOpaquePointer(), dim.dim, dim.minor);
  if (auto found = parts.find(key); found != parts.end())
    return found->second;
  mlir::Value made = remake(value, dim, builder);
  if (!made)
    made = fromWhole(mapping.lookupOrDefault(value), dim, builder);
  parts[key] = made;
  return made;
}

/// Null where the op that makes the value does not work example by example.
mlir::Value BatchResizer::remake(mlir::Value value, const BatchDim &dim, mlir::OpBuilder &builder) {
  mlir::Operation *op = value.getDefiningOp();
  if (!op || op->getNumResults() != 1)
    return {};
  auto type = llvm::cast<mlir::RankedTensorType>(resized(value.getType(), dim));
  StablehloBuilder make(builder, op->getLoc());
  switch (kindOf(op)) {
  case OpKind::Constant: {
    mlir::Attribute element = splatElement(value);
    return element ? make.splat(type, element) : mlir::Value();
  }
  case OpKind::Iota: {
    mlir::FailureOr<int64_t> along = iotaDim(op);
    if (mlir::failed(along) || *along == dim.dim)
      return mlir::failed(along) ? mlir::Value() : countedExamples(op, dim, builder);
    mlir::Operation *copy = builder.clone(*op);
    copy->getResult(0).setType(type);
    return copy->getResult(0);
  }
  case OpKind::Elementwise:
  case OpKind::BroadcastInDim:
  case OpKind::Reshape:
  case OpKind::Transpose:
    break;
  default:
    return {};
  }
  mlir::FailureOr<ShardingRule> rule =
      hasRule(op) ? ruleFor(op) : mlir::FailureOr<ShardingRule>(mlir::failure());
  if (mlir::failed(rule))
    return {};
  std::optional<BatchFactor> factor = batchFactor(*rule, rule->results[0], dim);
  if (!factor || rule->factorKinds[factor->factor] != FactorKind::PassThrough)
    return {};
  mlir::Operation *copy = op->cloneWithoutRegions();
  for (auto [i, operand] : llvm::enumerate(op->getOperands())) {
    auto dims = batchDims(*rule, rule->operands[i], *factor);
    copy->setOperand(i, dims.empty() ? mapping.lookupOrDefault(operand)
                                     : part(operand, dims.front(), builder));
  }
  builder.insert(copy);
  copy->removeAttr(kShardingRuleAttr);
  copy->getResult(0).setType(type);
  return copy->getResult(0);
}

} // namespace alpa
