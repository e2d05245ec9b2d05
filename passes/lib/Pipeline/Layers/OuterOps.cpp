// See the header.

#include "OuterOps.h"
#include "alpa/Analysis/OpGraph.h"
#include "alpa/IR/Stablehlo.h"
#include "llvm/ADT/SetVector.h"

namespace alpa {
mlir::FailureOr<OuterOps> OuterOps::build(mlir::func::FuncOp function) {
  mlir::FailureOr<OpGraph> graph = OpGraph::build(function);
  if (mlir::failed(graph))
    return mlir::failure();
  OuterOps result;
  result.owner = function;
  mlir::Region &body = function.getBody();
  for (int node = 0; node < graph->size(); node = (*graph)[node].last + 1) {
    OuterOp outer;
    outer.op = (*graph)[node].op;
    for (int inner = node; inner <= (*graph)[node].last; ++inner) {
      outer.flops += (*graph)[inner].flops * (*graph)[inner].multiplicity;
      outer.isHeavy |= isProduct((*graph)[inner].op);
    }
    llvm::SmallSetVector<mlir::Value, 4> reads;
    outer.op->walk([&](mlir::Operation *nested) {
      for (mlir::Value operand : nested->getOperands())
        if (operand.getParentRegion() == &body)
          reads.insert(operand);
    });
    outer.reads.assign(reads.begin(), reads.end());
    result.indices[outer.op] = result.size();
    for (mlir::Value value : outer.reads)
      if (int producer = result.producerOf(value); producer >= 0)
        outer.producers.push_back(producer);
    llvm::sort(outer.producers);
    outer.producers.erase(llvm::unique(outer.producers), outer.producers.end());
    for (int producer : outer.producers)
      result.all[producer].readers.push_back(result.size());
    result.all.push_back(std::move(outer));
  }
  return result;
}

int OuterOps::indexOf(mlir::Operation *op) const {
  mlir::func::FuncOp function = owner;
  auto found = indices.find(function.getBody().findAncestorOpInRegion(*op));
  return found == indices.end() ? -1 : found->second;
}

int OuterOps::producerOf(mlir::Value value) const {
  mlir::Operation *op = value.getDefiningOp();
  return op ? indices.at(op) : -1;
}

} // namespace alpa
