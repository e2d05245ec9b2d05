// See the header.

#include "alpa/Sharding/Boundary.h"
#include "alpa/IR/Stablehlo.h"
#include "alpa/Sharding/ChosenShardings.h"
#include "llvm/ADT/SetVector.h"

namespace alpa {
namespace {

/// Ops between an argument and the product that explains it: casts, transposes, a norm's scale.
constexpr int kMaxHops = 6;

bool isProductOrGather(mlir::Operation *op) {
  return isProduct(op) || kindOf(op) == OpKind::Gather;
}

/// The users of the values, each once, in program order.
llvm::SmallVector<mlir::Operation *> readersOf(llvm::ArrayRef<mlir::Value> values) {
  llvm::SetVector<mlir::Operation *> readers;
  for (mlir::Value value : values) {
    llvm::SmallVector<mlir::Operation *> ofValue(value.getUsers());
    for (mlir::Operation *reader : llvm::reverse(ofValue))
      readers.insert(reader);
  }
  return readers.takeVector();
}

} // namespace

Boundary boundaryOf(const ShardingGraph &graph, llvm::ArrayRef<int> choices) {
  mlir::FunctionOpInterface func = graph.function();
  llvm::DenseMap<mlir::Value, Sharding> left;
  Boundary boundary;
  for (auto [vertex, choice] : llvm::zip(graph.vertices(), choices)) {
    const Strategy &strategy = vertex.strategies[choice];
    switch (vertex.kind) {
    case Vertex::Kind::Argument:
      boundary.arguments.push_back(strategy.results[0]);
      left[func.getArgument(vertex.index)] = strategy.results[0];
      break;
    case Vertex::Kind::Op:
      for (auto [value, sharding] : llvm::zip(vertex.op->getResults(), strategy.results))
        left[value] = sharding;
      break;
    case Vertex::Kind::Carried:
      left[vertex.op->getResult(vertex.index)] = strategy.results[0];
      break;
    }
  }
  for (mlir::Value returned : func.getFunctionBody().front().back().getOperands())
    boundary.results.push_back(left.lookup(returned));
  for (unsigned argument = 0; argument < func.getNumArguments(); ++argument)
    if (std::optional<unsigned> result = updatedBy(func, argument))
      boundary.results[*result] = boundary.arguments[argument];
  return boundary;
}

mlir::Operation *explainingReader(mlir::BlockArgument argument) {
  mlir::Operation *first = nullptr;
  llvm::SmallVector<mlir::Value> level = {argument};
  for (int hop = 0; hop < kMaxHops && !level.empty(); ++hop) {
    llvm::SmallVector<mlir::Operation *> readers = readersOf(level);
    level.clear();
    for (mlir::Operation *reader : readers) {
      if (isProductOrGather(reader))
        return reader;
      if (!first && reader->getNumResults() > 0)
        first = reader;
      level.append(reader->result_begin(), reader->result_end());
    }
  }
  return first;
}

} // namespace alpa
