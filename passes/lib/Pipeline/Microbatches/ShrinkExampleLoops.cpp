// Of a loop over the examples of a batch, the iterations of one microbatch.

#include "BatchShrinker.h"

namespace alpa {
namespace {

mlir::RankedTensorType counterType(mlir::Operation *whileOp, const ExampleLoop &loop) {
  return llvm::cast<mlir::RankedTensorType>(whileOp->getOperand(loop.counter).getType());
}

} // namespace

llvm::LogicalResult BatchShrinker::cloneExampleLoop(mlir::Operation *from, const ExampleLoop &loop,
                                                    mlir::Operation *to) {
  auto outerParts = parts;
  mlir::Block &condition = whileCondition(to).emplaceBlock();
  for (mlir::BlockArgument argument : whileCondition(from).getArguments())
    condition.addArgument(shrunk(argument), argument.getLoc());
  mlir::OpBuilder inCondition = mlir::OpBuilder::atBlockEnd(&condition);
  StablehloBuilder(inCondition, from->getLoc())
      .goOnWhileLess(condition.getArgument(loop.counter), loop.numIterations / numMicrobatches);

  mlir::Block &block = whileBody(to).emplaceBlock();
  for (mlir::BlockArgument argument : whileBody(from).getArguments())
    mapping.map(argument, block.addArgument(shrunk(argument), argument.getLoc()));
  mlir::Value local = block.getArgument(loop.counter);
  mlir::OpBuilder builder = mlir::OpBuilder::atBlockEnd(&block);
  if (mlir::failed(cloneExample(from, loop, local, builder)))
    return mlir::failure();
  mlir::Operation &terminator = whileBody(from).front().back();
  StablehloBuilder make(builder, from->getLoc());
  llvm::SmallVector<mlir::Value> returned;
  for (mlir::Value value : terminator.getOperands())
    returned.push_back(mapping.lookupOrDefault(value));
  for (auto [i, kind] : llvm::enumerate(loop.carried))
    if (kind == ExampleLoop::Carried::Counter)
      returned[i] = make.add(local, make.integer(1, counterType(from, loop)));
  mlir::Operation *end = terminator.cloneWithoutRegions();
  end->setOperands(returned);
  builder.insert(end);
  parts = std::move(outerParts);
  return mlir::success();
}

llvm::LogicalResult BatchShrinker::inlineLoop(mlir::Operation *op, const ExampleLoop &loop,
                                              mlir::OpBuilder &builder) {
  for (auto [i, argument] : llvm::enumerate(whileBody(op).getArguments()))
    mapping.map(argument, operandFor(op->getOperand(i), wantedDim(op, i), builder));
  StablehloBuilder make(builder, op->getLoc());
  mlir::Value first = make.integer(0, counterType(op, loop));
  if (mlir::failed(cloneExample(op, loop, first, builder)))
    return mlir::failure();
  mlir::Operation &terminator = whileBody(op).front().back();
  for (auto [i, value] : llvm::enumerate(op->getResults()))
    mapping.map(value, loop.carried[i] == ExampleLoop::Carried::Counter
                           ? make.integer(loop.numIterations, counterType(op, loop))
                           : mapping.lookupOrDefault(terminator.getOperand(i)));
  return mlir::success();
}

llvm::LogicalResult BatchShrinker::cloneExample(mlir::Operation *whileOp, const ExampleLoop &loop,
                                                mlir::Value local, mlir::OpBuilder &builder) {
  StablehloBuilder make(builder, whileOp->getLoc());
  const mlir::RankedTensorType type = counterType(whileOp, loop);
  const int64_t numIterations = loop.numIterations / numMicrobatches;
  mlir::Value before =
      make.convert(make.multiply(index, make.integer(numIterations)), type.getElementType());
  mapping.map(whileBody(whileOp).getArgument(loop.counter), make.add(local, before));
  mlir::Block &body = whileBody(whileOp).front();
  for (mlir::Operation &op : body) {
    if (&op == &body.back())
      break;
    if (mlir::failed(clone(&op, builder)))
      return mlir::failure();
    auto access = loop.accesses.find(&op);
    if (access == loop.accesses.end())
      continue;
    mlir::Operation *copy = mapping.lookup(op.getResult(0)).getDefiningOp();
    const unsigned start = (kindOf(&op) == OpKind::DynamicSlice ? 1 : 2) + access->second.dim;
    auto startType = llvm::cast<mlir::RankedTensorType>(copy->getOperand(start).getType());
    mlir::OpBuilder at(copy);
    StablehloBuilder makeStart(at, op.getLoc());
    mlir::Value here = local;
    if (access->second.isReversed)
      here = makeStart.subtract(makeStart.integer(numIterations - 1, type), local);
    copy->setOperand(start, makeStart.convert(here, startType.getElementType()));
  }
  return mlir::success();
}

} // namespace alpa
