// See the header.

#include "BatchShrinker.h"
#include "alpa/Analysis/BatchFactor.h"
#include "alpa/Analysis/BatchFlow.h"
#include "alpa/IR/OpRules.h"

namespace alpa {
namespace {

mlir::RankedTensorType tensorOf(mlir::Value value) {
  return llvm::cast<mlir::RankedTensorType>(value.getType());
}

/// Attributes that repeat the size of a batch dim follow the new types. `dim` counts the examples
/// of operand 0, all of them.
void fitAttributes(mlir::Operation *op, const std::optional<BatchDim> &dim,
                   int64_t numMicrobatches) {
  mlir::Builder builder(op->getContext());
  auto set = [&](llvm::StringRef name, llvm::ArrayRef<int64_t> values) {
    op->setAttr(name, builder.getDenseI64ArrayAttr(values));
  };
  switch (kindOf(op)) {
  case OpKind::Slice: {
    auto dims = sliceDims(op);
    if (mlir::failed(dims))
      return;
    // Whole views of the batch become whole views of the microbatch.
    if (dim && dims->strides[dim->dim] == 1 &&
        isWholePeriods(*dim, dims->starts[dim->dim], dims->limits[dim->dim])) {
      dims->starts[dim->dim] /= numMicrobatches;
      dims->limits[dim->dim] /= numMicrobatches;
    }
    for (auto [limit, size] : llvm::zip(dims->limits, tensorOf(op->getOperand(0)).getShape()))
      limit = std::min(limit, size);
    set("start_indices", dims->starts);
    return set("limit_indices", dims->limits);
  }
  case OpKind::Pad: {
    auto dims = padDims(op);
    if (mlir::failed(dims) || !dim || dims->interior[dim->dim] != 0)
      return;
    dims->low[dim->dim] /= numMicrobatches;
    dims->high[dim->dim] /= numMicrobatches;
    set("edge_padding_low", dims->low);
    return set("edge_padding_high", dims->high);
  }
  case OpKind::DynamicSlice:
    return set("slice_sizes", tensorOf(op->getResult(0)).getShape());
  case OpKind::Gather: {
    auto sizes = op->getAttrOfType<mlir::DenseI64ArrayAttr>("slice_sizes");
    if (!sizes)
      return;
    llvm::SmallVector<int64_t> fitting(sizes.asArrayRef());
    for (auto [size, whole] : llvm::zip(fitting, tensorOf(op->getOperand(0)).getShape()))
      size = std::min(size, whole);
    return set("slice_sizes", fitting);
  }
  default:
    return;
  }
}

} // namespace

mlir::Type BatchShrinker::shrunk(mlir::Type type, const BatchDim &dim) const {
  auto tensor = llvm::cast<mlir::RankedTensorType>(type);
  llvm::SmallVector<int64_t> shape(tensor.getShape());
  shape[dim.dim] /= numMicrobatches;
  return tensor.clone(shape);
}

mlir::Type BatchShrinker::shrunk(mlir::Value value) const {
  std::optional<BatchDim> dim = batch.of(value);
  return dim ? shrunk(value.getType(), *dim) : value.getType();
}

llvm::LogicalResult BatchShrinker::clone(mlir::Operation *op, mlir::OpBuilder &builder) {
  const ExampleLoop *loop = batch.exampleLoop(op);
  if (loop && loop->numIterations == numMicrobatches)
    return inlineLoop(op, *loop, builder);
  llvm::SmallVector<mlir::Value> operands;
  for (auto [i, operand] : llvm::enumerate(op->getOperands()))
    operands.push_back(operandFor(operand, wantedDim(op, i), builder));
  mlir::Operation *copy = op->cloneWithoutRegions();
  copy->setOperands(operands);
  builder.insert(copy);
  copy->removeAttr(kShardingRuleAttr); // its factors have the old sizes
  for (auto [from, to] : llvm::zip(op->getResults(), copy->getResults())) {
    to.setType(shrunk(from));
    mapping.map(from, to);
  }
  if (op->getNumOperands() > 0)
    fitAttributes(copy, batch.read(op, 0), numMicrobatches);
  return loop ? cloneExampleLoop(op, *loop, copy) : cloneRegions(op, copy);
}

llvm::LogicalResult BatchShrinker::cloneRegions(mlir::Operation *from, mlir::Operation *to) {
  bool hasNodes = isWhile(from) || isBranch(from);
  for (auto [region, copy] : llvm::zip(from->getRegions(), to->getRegions())) {
    if (!hasNodes) {
      mlir::IRMapping inner;
      region.cloneInto(&copy, inner);
      continue;
    }
    auto outerParts = parts;
    mlir::Block &block = copy.emplaceBlock();
    for (mlir::BlockArgument argument : region.getArguments())
      mapping.map(argument, block.addArgument(shrunk(argument), argument.getLoc()));
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

llvm::LogicalResult BatchShrinker::cloneBody(mlir::Block &block, mlir::OpBuilder &builder) {
  for (mlir::Operation &op : block) // without_terminator() knows registered ops only
    if (&op != &block.back() && mlir::failed(clone(&op, builder)))
      return mlir::failure();
  return mlir::success();
}

std::optional<BatchDim> BatchShrinker::wantedDim(mlir::Operation *op, unsigned operand) const {
  return isWhile(op) ? batch.of(op->getResult(operand)) : batch.read(op, operand);
}

mlir::Value BatchShrinker::operandFor(mlir::Value operand, const std::optional<BatchDim> &wanted,
                                      mlir::OpBuilder &builder) {
  if (!wanted || batch.carries(operand))
    return mapping.lookupOrDefault(operand);
  return part(operand, *wanted, builder);
}

mlir::Value BatchShrinker::part(mlir::Value value, const BatchDim &dim, mlir::OpBuilder &builder) {
  auto key = std::make_tuple(value.getAsOpaquePointer(), dim.dim, dim.minor);
  if (auto found = parts.find(key); found != parts.end())
    return found->second;
  mlir::Value made = remake(value, dim, builder);
  if (!made)
    made = slice(mapping.lookupOrDefault(value), dim, numMicrobatches, index, builder);
  parts[key] = made;
  return made;
}

/// Null where the op that makes the value does not work example by example.
mlir::Value BatchShrinker::remake(mlir::Value value, const BatchDim &dim,
                                  mlir::OpBuilder &builder) {
  mlir::Operation *op = value.getDefiningOp();
  if (!op || op->getNumResults() != 1)
    return {};
  auto type = llvm::cast<mlir::RankedTensorType>(shrunk(value.getType(), dim));
  StablehloBuilder make(builder, op->getLoc());
  switch (kindOf(op)) {
  case OpKind::Constant: {
    mlir::Attribute element = splatElement(value);
    return element ? make.splat(type, element) : mlir::Value();
  }
  case OpKind::Iota: {
    mlir::FailureOr<int64_t> along = iotaDim(op);
    if (mlir::failed(along) || tensorOf(value).getDimSize(dim.dim) != dim.size * dim.minor)
      return {};
    mlir::Operation *copy = builder.clone(*op);
    copy->getResult(0).setType(type);
    if (*along != dim.dim)
      return copy->getResult(0);
    mlir::Value start = make.multiply(index, make.integer(type.getDimSize(dim.dim)));
    start = make.convert(start, type.getElementType());
    return make.add(copy->getResult(0), make.broadcast(start, type));
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

namespace {

/// A dim of `outer * size * minor`, split such that the examples are contiguous.
struct Split {
  Split(mlir::RankedTensorType type, const BatchDim &dim, int64_t numMicrobatches)
      : shape(type.getShape()), at(dim.dim) {
    int64_t whole = shape[at], inner = dim.size * dim.minor;
    partSize = inner / numMicrobatches;
    partShape = shape;
    partShape[at] = whole / numMicrobatches;
    isContiguous = whole == inner;
    if (isContiguous)
      return;
    splitShape = shape;
    splitShape[at] = whole / inner;
    splitShape.insert(splitShape.begin() + at + 1, inner);
    splitPartShape = splitShape;
    splitPartShape[++at] = partSize;
  }
  llvm::SmallVector<int64_t> shape, partShape, splitShape, splitPartShape;
  int at;
  int64_t partSize;
  bool isContiguous;
};

} // namespace

mlir::Value BatchShrinker::slice(mlir::Value whole, const BatchDim &dim, int64_t numMicrobatches,
                                 mlir::Value index, mlir::OpBuilder &builder) {
  StablehloBuilder make(builder, whole.getLoc());
  Split split(tensorOf(whole), dim, numMicrobatches);
  mlir::Value start = make.multiply(index, make.integer(split.partSize));
  if (split.isContiguous)
    return make.dynamicSlice(whole, split.at, start, split.partSize);
  mlir::Value open = make.reshape(whole, split.splitShape);
  return make.reshape(make.dynamicSlice(open, split.at, start, split.partSize), split.partShape);
}

mlir::Value BatchShrinker::place(mlir::Value whole, mlir::Value part, const BatchDim &dim,
                                 int64_t numMicrobatches, mlir::Value index,
                                 mlir::OpBuilder &builder) {
  StablehloBuilder make(builder, whole.getLoc());
  Split split(tensorOf(whole), dim, numMicrobatches);
  mlir::Value start = make.multiply(index, make.integer(split.partSize));
  if (split.isContiguous)
    return make.dynamicUpdateSlice(whole, part, split.at, start);
  mlir::Value open = make.reshape(whole, split.splitShape);
  mlir::Value openPart = make.reshape(part, split.splitPartShape);
  return make.reshape(make.dynamicUpdateSlice(open, openPart, split.at, start), split.shape);
}

} // namespace alpa
