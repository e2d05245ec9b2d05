// alpa-join-chunks: a loop over chunks of the batch, each larger than a microbatch will be, becomes
// one pass over the whole batch, which microbatches divide as they like.

#include "BatchResizer.h"
#include "ChunkLayout.h"
#include "alpa/Analysis/Dependence.h"
#include "alpa/Analysis/PartialSums.h"
#include "alpa/Analysis/StepAnalysis.h"
#include "alpa/Analysis/TrainingPhases.h"
#include "alpa/IR/CheckModule.h"
#include "alpa/IR/Remark.h"
#include "alpa/Passes.h"
#include <deque>

namespace alpa {
#define GEN_PASS_DEF_JOINCHUNKS
#include "alpa/Passes.h.inc"
namespace {

using Carried = ExampleLoop::Carried;

/// What an access of a loop reads or writes.
mlir::Value partOf(mlir::Operation *access) {
  return kindOf(access) == OpKind::DynamicSlice ? access->getResult(0) : access->getOperand(1);
}

/// Two ways of counting the examples of a batch that loops read in chunks.
struct ChunkedBatch {
  ChunkedBatch(const StepAnalysis &step, int64_t numChunks, BatchDims dims)
      : numChunks(numChunks), ofChunks(step.batch), inChunks(std::move(dims)),
        meetings(Meetings::find(step.graph, inChunks)), varying(dependentsOn(step.graph)) {}

  int64_t numChunks;
  const BatchDims &ofChunks;           ///< a chunk counts as an example
  BatchDims inChunks;                  ///< the n-th examples of all chunks count as one
  Meetings meetings;                   ///< of examples counted in this second way
  llvm::DenseSet<mlir::Value> varying; ///< what depends on single examples

private:
  llvm::DenseSet<mlir::Value> dependentsOn(const OpGraph &graph) const {
    llvm::SmallVector<mlir::Value> examples;
    auto add = [&](mlir::ValueRange values) {
      llvm::copy_if(values, std::back_inserter(examples),
                    [this](mlir::Value value) { return inChunks.carries(value); });
    };
    add(graph.function().getArguments());
    for (mlir::Operation *op : meetings.before)
      add(op->getResults());
    return dependents(graph, examples, meetings.before);
  }
};

/// A loop over chunks, and whether it does with each what it would do with all of them at once.
class ChunkLoop {
public:
  ChunkLoop(mlir::Operation *loop, const ExampleLoop &chunks, const ChunkedBatch &batch)
      : loop(loop), body(whileBody(loop).front()), chunks(chunks), batch(batch) {
    findNumbered();
  }

  bool isOnePass() const {
    if (chunks.numIterations != batch.numChunks || chunks.period != batch.numChunks ||
        batch.meetings.before.contains(loop) || batch.meetings.isMixing(loop) ||
        batch.inChunks.exampleLoop(loop))
      return false;
    for (mlir::BlockArgument argument : body.getArguments())
      if (!fits(argument))
        return false;
    for (mlir::Operation &op : body)
      if (&op != &body.back() && !fits(&op))
        return false;
    return true;
  }

  /// Made of the number of the chunk: there is none any more.
  bool isNumbered(mlir::Operation *op) const { return numbered.contains(op); }

  mlir::Operation *const loop;
  mlir::Block &body;
  const ExampleLoop &chunks;
  const ChunkedBatch &batch;

private:
  void findNumbered() {
    llvm::DenseSet<mlir::Value> found;
    for (mlir::BlockArgument argument : body.getArguments())
      if (chunks.carried[argument.getArgNumber()] == Carried::Counter)
        found.insert(argument);
    for (mlir::Operation &op : body)
      if (!chunks.accesses.contains(&op) && &op != &body.back() && reads(&op, found)) {
        numbered.insert(&op);
        found.insert(op.result_begin(), op.result_end());
      }
  }

  static bool reads(mlir::Operation *op, const llvm::DenseSet<mlir::Value> &values) {
    return op
        ->walk([&](mlir::Operation *inner) {
          return llvm::any_of(inner->getOperands(),
                              [&](mlir::Value v) { return values.contains(v); })
                     ? mlir::WalkResult::interrupt()
                     : mlir::WalkResult::advance();
        })
        .wasInterrupted();
  }

  /// What is stacked has a dim of chunks and another one of examples in each; the rest has neither.
  bool fits(mlir::BlockArgument argument) const {
    const unsigned number = argument.getArgNumber();
    if (chunks.carried[number] == Carried::Counter)
      return true;
    if (isMadeOfNumber(nextValue(loop, number)))
      return false;
    switch (chunks.carried[number]) {
    case Carried::Same:
      return batch.ofChunks.of(argument).has_value() == batch.inChunks.of(argument).has_value();
    case Carried::Written:
      return batch.inChunks.of(nextValue(loop, number)).has_value();
    case Carried::Sum:
      return PartialSums(batch.inChunks, batch.varying)
                 .combinationOf(llvm::cast<mlir::OpResult>(loop->getResult(number))) ==
             ReductionKind::Add;
    default:
      return false;
    }
  }

  bool takesWholeChunk(mlir::Operation *access, int chunkDim) const {
    mlir::Value part = partOf(access);
    auto whole = llvm::cast<mlir::RankedTensorType>(access->getOperand(0).getType());
    llvm::SmallVector<int64_t> shape(whole.getShape());
    shape[chunkDim] = 1;
    std::optional<BatchDim> within = batch.inChunks.of(part);
    return within && within->dim != chunkDim && within->size > 1 &&
           batch.inChunks.of(access->getOperand(0)).value_or(*within) == *within &&
           llvm::cast<mlir::RankedTensorType>(part.getType()).getShape() == llvm::ArrayRef(shape);
  }

  bool fits(mlir::Operation *op) const {
    if (auto access = chunks.accesses.find(op); access != chunks.accesses.end())
      return !isMadeOfNumber(partOf(op)) && takesWholeChunk(op, access->second);
    if (!isRemovable(op))
      return false;
    return isNumbered(op) || !op->walk([&](mlir::Operation *inner) {
                                  return batch.meetings.isMixing(inner) ||
                                                 batch.inChunks.exampleLoop(inner)
                                             ? mlir::WalkResult::interrupt()
                                             : mlir::WalkResult::advance();
                                }).wasInterrupted();
  }

  bool isMadeOfNumber(mlir::Value value) const {
    if (auto argument = llvm::dyn_cast<mlir::BlockArgument>(value))
      return argument.getOwner() == &body &&
             chunks.carried[argument.getArgNumber()] == Carried::Counter;
    return isNumbered(value.getDefiningOp());
  }

  llvm::DenseSet<mlir::Operation *> numbered;
};

/// Clones the body of a loop over chunks once, for all of them: what has examples of a chunk gets
/// those of the next ones behind them.
class ChunkJoiner : public BatchResizer {
public:
  explicit ChunkJoiner(const ChunkLoop &from)
      : BatchResizer(from.batch.inChunks), from(from), numChunks(from.batch.numChunks) {}

  void run() {
    mlir::Operation *loop = from.loop;
    emitCodedRemark(loop->getLoc(), "joined-chunks")
        << "the loop over " << numChunks
        << " chunks of the batch is one pass over it: microbatches need not be chunks then";
    mlir::OpBuilder builder(loop);
    StablehloBuilder make(builder, loop->getLoc());
    for (auto [argument, start] : llvm::zip(from.body.getArguments(), loop->getOperands()))
      mapping.map(argument, start);
    for (mlir::Operation &op : from.body)
      if (&op != &from.body.back() && !from.isNumbered(&op))
        cloneForAll(&op, make, builder);
    for (auto [i, value] : llvm::enumerate(loop->getResults()))
      value.replaceAllUsesWith(
          from.chunks.carried[i] == Carried::Counter
              ? make.integer(numChunks, llvm::cast<mlir::RankedTensorType>(value.getType()))
              : mapping.lookupOrDefault(nextValue(loop, i)));
    loop->erase();
  }

private:
  void cloneForAll(mlir::Operation *op, StablehloBuilder &make, mlir::OpBuilder &builder) {
    auto access = from.chunks.accesses.find(op);
    if (access == from.chunks.accesses.end()) {
      (void)clone(op, builder);
      return;
    }
    mlir::Value part = partOf(op);
    const ChunkLayout layout(llvm::cast<mlir::RankedTensorType>(op->getOperand(0).getType()),
                             access->second, *batch.of(part));
    mapping.map(op->getResult(0), part == op->getResult(0)
                                      ? layout.join(mapping.lookup(op->getOperand(0)), make)
                                      : layout.takeApart(mapping.lookup(part), make));
  }

  int64_t resizedExtent(int64_t size) const override { return size * numChunks; }

  /// Every chunk reads it.
  mlir::Value fromWhole(mlir::Value whole, const BatchDim &dim, mlir::OpBuilder &builder) override {
    StablehloBuilder make(builder, whole.getLoc());
    return repeat(whole, dim, numChunks, make);
  }
  mlir::Value countedExamples(mlir::Operation *, const BatchDim &, mlir::OpBuilder &) override {
    return {};
  }

  const ChunkLoop &from;
  int64_t numChunks;
};

struct JoinChunks : impl::JoinChunksBase<JoinChunks> {
  using JoinChunksBase::JoinChunksBase;

  void runOnOperation() override {
    if (mlir::failed(checkModule(getOperation())))
      return signalPassFailure();
    if (numMicrobatches < 2 || !hasLoops())
      return;
    mlir::FailureOr<StepAnalysis> step = StepAnalysis::of(getOperation());
    if (mlir::failed(step))
      return signalPassFailure();
    if (step->batch.groupings().empty())
      return;
    mlir::FailureOr<StepAnalysis> asItIs = StepAnalysis::of(getOperation(), numMicrobatches);
    if (mlir::failed(asItIs))
      return signalPassFailure();
    const int64_t numExamples = trainingPhases(asItIs->graph, asItIs->batch).numExamples;
    if (numExamples % numMicrobatches != 0 && mlir::failed(join(*step)))
      signalPassFailure();
  }

private:
  bool hasLoops() {
    return getOperation()
        ->walk([](mlir::Operation *op) {
          return isWhile(op) ? mlir::WalkResult::interrupt() : mlir::WalkResult::advance();
        })
        .wasInterrupted();
  }

  static llvm::LogicalResult join(const StepAnalysis &step) {
    std::deque<ChunkedBatch> batches;
    std::vector<ChunkLoop> loops;
    for (int64_t numChunks : step.batch.groupings()) {
      mlir::FailureOr<BatchDims> inChunks = batchInChunks(step.graph, step.batch, numChunks);
      if (mlir::failed(inChunks))
        return mlir::failure();
      batches.emplace_back(step, numChunks, std::move(*inChunks));
      for (const OpNode &node : step.graph.nodes())
        if (const ExampleLoop *chunks = step.batch.exampleLoop(node.op))
          if (ChunkLoop loop(node.op, *chunks, batches.back()); loop.isOnePass())
            loops.push_back(std::move(loop));
    }
    for (const ChunkLoop &loop : loops)
      ChunkJoiner(loop).run();
    return mlir::success();
  }
};

} // namespace
} // namespace alpa
