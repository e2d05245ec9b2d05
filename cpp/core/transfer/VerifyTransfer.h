// The judge of transfer plans: geometry and intervals of time alone, no code of what plans.
#pragma once

#include "core/transfer/TransferPlan.h"
#include <string>

namespace alpa {

/// What one direction of a port or card carries.
struct LinkUse {
  std::string link;   ///< "port out", "port in", "card out", "card in"
  int32_t number = 0; ///< of the device or node
  int64_t bytes = 0;
  double busySeconds = 0;
};

struct TransferReplay {
  double makespanSeconds = 0;
  int64_t crossingBytes = 0;
  std::vector<LinkUse> links; ///< those that are used
};

/// Proves a plan: every device gets what it wants, nothing twice; none sends what it has not yet;
/// no link carries two sends at once; what the plan says of itself is so. Throws std::logic_error
/// naming the first send or device that breaks a rule.
TransferReplay verifyTransfer(const TransferProblem &problem, const TransferPlan &plan);

} // namespace alpa
