// See the header.

#include "alpa/Sharding/UnreducedSums.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/Phase.h"

namespace alpa {

bool makesSumOfUpdate(mlir::FunctionOpInterface func, mlir::Operation *op) {
  mlir::Operation *end = &func.getFunctionBody().front().back();
  if (op->getNumResults() != 1 || op->getParentOp() != func.getOperation() ||
      phaseOf(op) == Phase::Update ||
      integerOf(func->getAttr(kNumMicrobatchesAttr)).value_or(1) == 1)
    return false;
  bool isSum = false;
  for (mlir::OpOperand &use : op->getUses()) {
    if (use.getOwner() != end) {
      if (phaseOf(use.getOwner()) != Phase::Update)
        return false;
      continue;
    }
    auto combiner =
        func.getResultAttrOfType<mlir::StringAttr>(use.getOperandNumber(), kAccumulateAttr);
    if (!combiner || combiner.getValue() != "add" ||
        !func.getResultAttr(use.getOperandNumber(), kOwnSumAttr))
      return false;
    isSum = true;
  }
  return isSum;
}

void leaveReductionsToUpdate(std::vector<Strategy> &strategies) {
  std::vector<Strategy> all;
  for (Strategy &strategy : strategies) {
    AxisSet axes = 0;
    bool isScattered = false;
    for (const Collective &collective : strategy.collectives) {
      axes |= collective.axes;
      isScattered |= collective.kind == CollectiveKind::ReduceScatter;
    }
    if (axes && isScattered)
      all.push_back(strategy);
    all.push_back(std::move(strategy));
    all.back().unreduced = axes;
    if (axes && isScattered)
      all.back().name += " once";
  }
  strategies = std::move(all);
}

} // namespace alpa
