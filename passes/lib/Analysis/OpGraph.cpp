// Builds the op graph; see the header.

#include "alpa/Analysis/OpGraph.h"
#include "alpa/IR/Stablehlo.h"
#include "llvm/ADT/SetVector.h"

namespace alpa {
namespace {

int64_t bytesOf(mlir::ValueRange values) {
  int64_t total = 0;
  llvm::SmallPtrSet<mlir::Value, 4> seen;
  for (mlir::Value value : values)
    if (seen.insert(value).second)
      total += bytes(value.getType());
  return total;
}

/// The node through which a value is made: its op, or the loop or branch whose region it enters; -1
/// for an argument of the function.
int producerOf(mlir::Value value, const OpGraph &graph) {
  if (mlir::Operation *op = value.getDefiningOp())
    return graph.indexOf(op);
  return graph.indexOf(llvm::cast<mlir::BlockArgument>(value).getOwner()->getParentOp());
}

} // namespace

Traffic trafficOf(mlir::Operation *op) {
  mlir::ValueRange operands = op->getOperands();
  int64_t results = bytesOf(op->getResults());
  const int64_t filled = updatesConstant(op) ? results : 0;
  switch (kindOf(op)) {
  case OpKind::Constant:
  case OpKind::Reshape:
  case OpKind::OptimizationBarrier:
  case OpKind::ShardingConstraint:
  case OpKind::While:
  case OpKind::Branch:
    return {0, 0};
  case OpKind::Slice:
  case OpKind::DynamicSlice:
    return {results, results};
  case OpKind::Gather: // the elements and the indices
    return {results + (operands.empty() ? 0 : bytesOf(operands.drop_front())), results};
  case OpKind::DynamicUpdateSlice:
    if (operands.size() > 1) {
      int64_t update = bytes(operands[1].getType());
      return {update, update, filled};
    }
    break;
  case OpKind::Scatter: // reads indices, updates, and the elements they change
    if (operands.size() == 3) {
      int64_t update = bytes(operands[2].getType());
      return {bytes(operands[1].getType()) + 2 * update, update, filled};
    }
    break;
  default:
    break;
  }
  return {bytesOf(operands), results};
}

mlir::FailureOr<OpGraph> OpGraph::build(mlir::ModuleOp module) {
  mlir::func::FuncOp main;
  for (auto function : module.getOps<mlir::func::FuncOp>())
    if (function.isPublic() && !main)
      main = function;
    else if (function.isPublic())
      return function.emitError("expected one public function; run alpa-normalize first");
  if (!main || !main.getBody().hasOneBlock())
    return module.emitError("expected one public function; run alpa-normalize first");
  return build(main);
}

mlir::FailureOr<OpGraph> OpGraph::build(mlir::func::FuncOp function) {
  OpGraph graph;
  graph.main = function;
  if (!graph.main.getBody().hasOneBlock())
    return function.emitError("expected a function with one block");
  auto calls = graph.main.walk([](mlir::Operation *op) {
    if (!callee(op))
      return mlir::WalkResult::advance();
    op->emitError("expected a function without calls; run alpa-normalize first");
    return mlir::WalkResult::interrupt();
  });
  if (calls.wasInterrupted())
    return mlir::failure();
  graph.addBlock(graph.main.getBody().front(), 1);
  graph.connect();
  return graph;
}

int OpGraph::indexOf(mlir::Operation *op) const {
  auto found = indices.find(op);
  return found == indices.end() ? -1 : found->second;
}

void OpGraph::addBlock(mlir::Block &block, double multiplicity) {
  for (mlir::Operation &op : block) {
    if (&op == &block.back() && op.getNumResults() == 0)
      continue;
    int index = size();
    indices[&op] = index;
    Traffic traffic = trafficOf(&op);
    OpNode &node = all.emplace_back();
    node.op = &op;
    node.flops = flops(&op);
    node.bytesRead = traffic.read;
    node.bytesWritten = traffic.written + traffic.filled;
    node.multiplicity = multiplicity;
    if (isWhile(&op) || isBranch(&op)) {
      std::optional<int64_t> trips = isWhile(&op) ? tripCount(&op) : 1;
      if (!trips)
        unknownLoops.push_back(&op);
      for (mlir::Region &region : op.getRegions())
        for (mlir::Block &inner : region)
          addBlock(inner, multiplicity * static_cast<double>(trips.value_or(1)));
    }
    all[index].last = size() - 1;
  }
}

void OpGraph::connect() {
  for (int index = 0; index < size(); ++index) {
    llvm::SmallSetVector<int, 4> producers;
    auto reads = [&](mlir::Value value) {
      int producer = producerOf(value, *this);
      if (producer >= 0 && producer != index)
        producers.insert(producer);
    };
    mlir::Operation *op = all[index].op;
    for (mlir::Value operand : op->getOperands())
      reads(operand);
    // What a loop or branch returns from its regions becomes its results. The body of a reduction
    // may not read values from outside.
    if (all[index].last > index)
      for (mlir::Region &region : op->getRegions())
        for (mlir::Block &block : region)
          for (mlir::Value returned : block.back().getOperands())
            reads(returned);
    all[index].producers.assign(producers.begin(), producers.end());
    llvm::sort(all[index].producers);
    for (int producer : all[index].producers)
      all[producer].users.push_back(index);
  }
  for (OpNode &node : all)
    llvm::sort(node.users);
}

} // namespace alpa
