// How transfers share links: each runs at a part of the speed that it has alone, and all those on a
// full link at the same part. A transfer that other links slow down further leaves the rest to the
// others there (max-min fairness of these parts, found by progressive filling: Bertsekas and
// Gallager, Data Networks, section 6.5.2).
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace alpa {

/// What a transfer puts on a link.
struct LinkLoad {
  int32_t link = 0;
  double share = 0; ///< bytes that cross the link for each byte of the transfer
};

/// The way of transfers from one mesh to another.
struct TransferRoute {
  double latencySeconds = 0; ///< of each transfer, before data flows
  std::vector<LinkLoad> loads;
};

class LinkSharing {
public:
  /// Throws std::invalid_argument for a link that is unknown or carries nothing, and for a share
  /// that is no positive number.
  LinkSharing(const std::vector<double> &linkBytesPerSecond,
              const std::vector<TransferRoute> &routes);

  /// Seconds in which data flows, with nothing else on the links.
  double aloneSeconds(int32_t route, double bytes) const { return secondsPerByte[route] * bytes; }

  /// By route, the part of its own speed at which each of the active ones runs; others get 0.
  std::vector<double> speeds(const std::vector<char> &isActive) const;

private:
  struct Use {
    int32_t route;
    double part; ///< of the link, that the route takes when it runs alone
  };
  double fullAt(const std::vector<Use> &link, const std::vector<double> &speeds,
                const std::vector<char> &isRising) const;

  std::vector<double> secondsPerByte; ///< of each route
  /// Who uses each link; one stands for all links that are used alike.
  std::vector<std::vector<Use>> links;
};

} // namespace alpa
