// See the header.

#include "alpa/Sharding/UnreducedSums.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/Phase.h"
#include "alpa/IR/RoundedResults.h"
#include "alpa/Sharding/ChosenShardings.h"

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
  if (mlir::FloatType rounded = roundsTo(op); rounded && sum)
    sum->widening = elementBytesOf(op->getResult(0).getType()) * 8 / rounded.getWidth();
  return sum;
}

/// The sum is reduced as it is, however its parts were rounded.
static void widenReduction(int64_t widening, const DeviceMesh &mesh, Strategy &strategy) {
  double narrow = 0, wide = 0;
  for (Collective &collective : strategy.collectives) {
    narrow += seconds(collective, mesh);
    collective.bytes *= widening;
    wide += seconds(collective, mesh);
  }
  const double transposition = strategy.reductionSeconds - narrow;
  const double reduction = wide + transposition * static_cast<double>(widening);
  strategy.seconds += reduction - strategy.reductionSeconds;
  strategy.reductionSeconds = reduction;
}

void leaveReductionsToUpdate(UpdateSum sum, const DeviceMesh &mesh,
                             std::vector<Strategy> &strategies) {
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
    if (axes && (!isScattered || sum.isOwn)) {
      all.back().unreduced = axes;
      widenReduction(sum.widening, mesh, all.back());
    }
  }
  strategies = std::move(all);
}

} // namespace alpa
