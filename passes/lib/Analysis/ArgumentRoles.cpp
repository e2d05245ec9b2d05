// Tells parameters from optimizer state by whether the batch meets them; see ArgumentRoles.h.

#include "alpa/Analysis/ArgumentRoles.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/Stablehlo.h"

namespace alpa {

std::vector<ArgumentRole> argumentRoles(const OpGraph &graph, const Meetings &meetings) {
  mlir::func::FuncOp function = graph.function();
  std::vector<ArgumentRole> roles;
  for (mlir::BlockArgument argument : function.getArguments()) {
    unsigned number = argument.getArgNumber();
    const bool isState = static_cast<bool>(function.getArgAttr(number, kStateAttr));
    const bool isTrained = (isState || function.getArgAttr(number, kGradientAttr)) &&
                           isFloating(argument.getType()) && meetings.meetsBatch.contains(argument);
    roles.push_back(function.getArgAttr(number, kBatchAttr) ? ArgumentRole::Batch
                    : isTrained                             ? ArgumentRole::Parameter
                    : isState                               ? ArgumentRole::OptimizerState
                                                            : ArgumentRole::Other);
  }
  return roles;
}

} // namespace alpa
