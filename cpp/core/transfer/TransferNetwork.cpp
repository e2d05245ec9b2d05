#include "core/transfer/TransferNetwork.h"

#include <algorithm>

namespace alpa {

TransferNetwork::TransferNetwork(const TransferProblem &problem) : links(problem.links) {
  for (const auto *side : {&problem.source, &problem.target})
    for (const DeviceTile &entry : *side)
      devices.push_back(entry.device);
  std::sort(devices.begin(), devices.end());
  devices.erase(std::unique(devices.begin(), devices.end()), devices.end());
  for (size_t i = 0; i < devices.size(); ++i) {
    if (i > 0 && problem.nodeOf(devices[i]) != problem.nodeOf(devices[i - 1]))
      ++numberOfNodes;
    nodes.push_back(numberOfNodes);
  }
  numberOfNodes += !devices.empty();
}

int32_t TransferNetwork::indexOf(int32_t device) const {
  return static_cast<int32_t>(std::lower_bound(devices.begin(), devices.end(), device) -
                              devices.begin());
}

double TransferNetwork::sendSeconds(bool crosses, double bytes) const {
  double slowest = crosses ? std::max(portSeconds(bytes), cardSeconds(bytes)) : portSeconds(bytes);
  return slowest + latency(crosses);
}

double LinkTable::most(const TransferNetwork &network, int32_t sender, int32_t receiver) const {
  double most = std::max(portsOut[sender], portsIn[receiver]);
  if (network.crosses(sender, receiver))
    most = std::max({most, cardsOut[network.nodeOf(sender)], cardsIn[network.nodeOf(receiver)]});
  return most;
}

double LinkClock::send(int32_t sender, int32_t receiver, double bytes, double start) {
  bool crosses = network->crosses(sender, receiver);
  busy.portsOut[sender] = busy.portsIn[receiver] = start + network->portSeconds(bytes);
  if (crosses)
    busy.cardsOut[network->nodeOf(sender)] = busy.cardsIn[network->nodeOf(receiver)] =
        start + network->cardSeconds(bytes);
  return start + network->sendSeconds(crosses, bytes);
}

} // namespace alpa
