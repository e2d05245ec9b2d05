// See the header.

#include "alpa/Sharding/UnreducedSums.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/Phase.h"

namespace alpa {

std::optional<UpdateSum> sumOfUpdate(mlir::FunctionOpInterface func, mlir::Operation *op) {
  mlir::Operation *end = &func.getFunctionBody().front().back();
  if (op->getNumResults() != 1 || op->getParentOp() != func.getOperation() ||
      phaseOf(op) == Phase::Update ||
      integerOf(func->getAttr(kNumMicrobatchesAttr)).value_or(1) == 1)
    return std::nullopt;
  std::optional<UpdateSum> sum;
  for (mlir::OpOperand &use : op->getUses()) {
    if (use.getOwner() != end) {
      if (phaseOf(use.getOwner()) != Phase::Update)
        return std::nullopt;
      continue;
    }
    const unsigned result = use.getOperandNumber();
    auto combiner = func.getResultAttrOfType<mlir::StringAttr>(result, kAccumulateAttr);
    auto isOwn = func.getResultAttrOfType<mlir::BoolAttr>(result, kForUpdateAttr);
    if (sum || !combiner || combiner.getValue() != "add" || !isOwn)
      return std::nullopt;
    sum = {isOwn.getValue()};
  }
  return sum;
}

void leaveReductionsToUpdate(UpdateSum sum, std::vector<Strategy> &strategies) {
  std::vector<Strategy> all;
  for (Strategy &strategy : strategies) {
    AxisSet axes = 0;
    bool isScattered = false;
    for (const Collective &collective : strategy.collectives) {
      axes |= collective.axes;
      isScattered |= collective.kind == CollectiveKind::ReduceScatter;
    }
    all.push_back(strategy);
    if (axes && isScattered && sum.isOwn) {
      all.push_back(strategy);
      all.back().name += " once";
    }
    if (axes && (!isScattered || sum.isOwn))
      all.back().unreduced = axes;
  }
  strategies = std::move(all);
}

} // namespace alpa
