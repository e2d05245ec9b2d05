// Of a loop over the examples of a batch, the iterations of one microbatch.

#include "BatchShrinker.h"

namespace alpa {
namespace {

mlir::RankedTensorType typeOf(mlir::Value value) {
  return llvm::cast<mlir::RankedTensorType>(value.getType());
}

/// Which of `numElements` the loop reads when it counts `counter`; and the other way round.
mlir::Value placeOf(mlir::Value counter, const ExampleLoop &loop, int64_t numElements,
                    StablehloBuilder &make) {
  return loop.isReversed ? make.subtract(make.integer(numElements - 1, typeOf(counter)), counter)
                         : counter;
}

} // namespace

llvm::LogicalResult BatchShrinker::cloneExampleLoop(mlir::Operation *from, const ExampleLoop &loop,
                                                    mlir::Operation *to) {
  auto outerParts = parts;
  mlir::Block &condition = whileCondition(to).emplaceBlock();
  for (mlir::BlockArgument argument : whileCondition(from).getArguments())
    condition.addArgument(resized(argument), argument.getLoc());
  mlir::OpBuilder inCondition = mlir::OpBuilder::atBlockEnd(&condition);
  StablehloBuilder(inCondition, from->getLoc())
      .goOnWhileLess(condition.getArgument(loop.counter), loop.numIterations / numMicrobatches);

  mlir::Block &block = whileBody(to).emplaceBlock();
  for (mlir::BlockArgument argument : whileBody(from).getArguments())
    mapping.map(argument, block.addArgument(resized(argument), argument.getLoc()));
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
      returned[i] = make.add(block.getArgument(i), make.integer(1, typeOf(block.getArgument(i))));
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
  mlir::Value first = make.integer(0, typeOf(op->getOperand(loop.counter)));
  if (mlir::failed(cloneExample(op, loop, first, builder)))
    return mlir::failure();
  mlir::Operation &terminator = whileBody(op).front().back();
  for (auto [i, value] : llvm::enumerate(op->getResults()))
    mapping.map(value, loop.carried[i] == ExampleLoop::Carried::Counter
                           ? make.integer(loop.numIterations, typeOf(value))
                           : mapping.lookupOrDefault(terminator.getOperand(i)));
  return mlir::success();
}

llvm::LogicalResult BatchShrinker::cloneExample(mlir::Operation *whileOp, const ExampleLoop &loop,
                                                mlir::Value local, mlir::OpBuilder &builder) {
  StablehloBuilder make(builder, whileOp->getLoc());
  mlir::Block &body = whileBody(whileOp).front();
  mlir::Value counter = countedInWhole(loop, local, make);
  for (auto [i, kind] : llvm::enumerate(loop.carried))
    if (kind == ExampleLoop::Carried::Counter)
      mapping.map(body.getArgument(i),
                  make.convert(counter, typeOf(body.getArgument(i)).getElementType()));
  for (mlir::Operation &op : body) {
    if (&op == &body.back())
      break;
    if (mlir::failed(clone(&op, builder)))
      return mlir::failure();
    auto access = loop.accesses.find(&op);
    if (access == loop.accesses.end())
      continue;
    mlir::Operation *copy = mapping.lookup(op.getResult(0)).getDefiningOp();
    const unsigned start = (kindOf(&op) == OpKind::DynamicSlice ? 1 : 2) + access->second;
    mlir::OpBuilder at(copy);
    StablehloBuilder makeStart(at, op.getLoc());
    mlir::Value here = placeOf(local, loop, loop.numIterations / numMicrobatches, makeStart);
    copy->setOperand(start,
                     makeStart.convert(here, typeOf(copy->getOperand(start)).getElementType()));
  }
  return mlir::success();
}

mlir::Value BatchShrinker::countedInWhole(const ExampleLoop &loop, mlir::Value local,
                                          StablehloBuilder &make) const {
  const mlir::RankedTensorType type = typeOf(local);
  const int64_t period = loop.period / numMicrobatches;
  mlir::Value place = placeOf(local, loop, loop.numIterations / numMicrobatches, make);
  if (loop.period < loop.numIterations) { // what other microbatches have of the views before
    mlir::Value view = make.divide(place, make.integer(period, type));
    place = make.add(place, make.multiply(view, make.integer(loop.period - period, type)));
  }
  mlir::Value before = make.multiply(index, make.integer(period));
  place = make.add(place, make.convert(before, type.getElementType()));
  return placeOf(place, loop, loop.numIterations, make);
}

} // namespace alpa
