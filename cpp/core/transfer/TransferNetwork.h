// The links of a transfer problem by index, and when they are free.
#pragma once

#include "core/transfer/TransferProblem.h"

namespace alpa {

/// Devices and nodes of a problem, numbered from 0 in ascending order.
class TransferNetwork {
public:
  explicit TransferNetwork(const TransferProblem &problem);

  int32_t numDevices() const { return static_cast<int32_t>(devices.size()); }
  int32_t numNodes() const { return numberOfNodes; }
  int32_t device(int32_t index) const { return devices[index]; }
  /// The device must be one of the problem's.
  int32_t indexOf(int32_t device) const;
  int32_t nodeOf(int32_t index) const { return nodes[index]; }
  bool crosses(int32_t sender, int32_t receiver) const { return nodes[sender] != nodes[receiver]; }

  double latency(bool crosses) const {
    return crosses ? links.interNode.latencySeconds : links.intraNode.latencySeconds;
  }
  double portSeconds(double bytes) const { return bytes / links.intraNode.bytesPerSecond; }
  double cardSeconds(double bytes) const { return bytes / links.interNode.bytesPerSecond; }
  /// From the begin of a send until its receiver has it.
  double sendSeconds(bool crosses, double bytes) const;

private:
  MeshLinks links;
  std::vector<int32_t> devices;
  std::vector<int32_t> nodes; ///< per device
  int32_t numberOfNodes = 0;
};

/// Seconds by link.
struct LinkTable {
  explicit LinkTable(const TransferNetwork &network)
      : portsOut(network.numDevices()), portsIn(network.numDevices()), cardsOut(network.numNodes()),
        cardsIn(network.numNodes()) {}

  std::vector<double> portsOut, portsIn; ///< per device
  std::vector<double> cardsOut, cardsIn; ///< per node

  /// The largest of the links of such a send.
  double most(const TransferNetwork &network, int32_t sender, int32_t receiver) const;
};

/// Until when links are kept.
class LinkClock {
public:
  explicit LinkClock(const TransferNetwork &network) : network(&network), busy(network) {}

  /// When all links of such a send are free.
  double freeSeconds(int32_t sender, int32_t receiver) const {
    return busy.most(*network, sender, receiver);
  }
  /// Keeps the links from `start`; when the bytes have arrived.
  double send(int32_t sender, int32_t receiver, double bytes, double start);

  const LinkTable &busyUntil() const { return busy; }

private:
  const TransferNetwork *network;
  LinkTable busy;
};

} // namespace alpa
