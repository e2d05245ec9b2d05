#include "core/simulate/LinkSharing.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>

namespace alpa {
namespace {

// Links that fill up together differ by rounding only.
constexpr double kTolerance = 1e-12;

void checkLoad(const LinkLoad &load, int32_t route, const std::vector<double> &linkBytesPerSecond) {
  if (load.link < 0 || load.link >= static_cast<int32_t>(linkBytesPerSecond.size()))
    throw std::invalid_argument("route " + std::to_string(route) + ": expected one of " +
                                std::to_string(linkBytesPerSecond.size()) + " links, got link " +
                                std::to_string(load.link));
  double rate = linkBytesPerSecond[load.link];
  if (!std::isfinite(rate) || rate <= 0)
    throw std::invalid_argument("link " + std::to_string(load.link) +
                                ": expected a positive number of bytes per second, got " +
                                std::to_string(rate));
  if (!std::isfinite(load.share) || load.share <= 0)
    throw std::invalid_argument("route " + std::to_string(route) +
                                ": expected positive shares, got " + std::to_string(load.share));
}

} // namespace

LinkSharing::LinkSharing(const std::vector<double> &linkBytesPerSecond,
                         const std::vector<TransferRoute> &routes) {
  std::map<int32_t, std::vector<std::pair<int32_t, double>>> users;
  for (size_t route = 0; route < routes.size(); ++route) {
    double slowest = 0;
    for (const LinkLoad &load : routes[route].loads) {
      checkLoad(load, static_cast<int32_t>(route), linkBytesPerSecond);
      slowest = std::max(slowest, load.share / linkBytesPerSecond[load.link]);
    }
    secondsPerByte.push_back(slowest);
    for (const LinkLoad &load : routes[route].loads)
      users[load.link].emplace_back(static_cast<int32_t>(route),
                                    load.share / linkBytesPerSecond[load.link] / slowest);
  }
  std::map<std::vector<std::pair<int32_t, double>>, int32_t> distinct;
  for (const auto &[link, uses] : users) {
    if (!distinct.emplace(uses, link).second)
      continue;
    links.emplace_back();
    for (auto [route, part] : uses)
      links.back().push_back({route, part});
  }
}

/// The speed of those still rising at which a link is full; infinite if none of them uses it.
double LinkSharing::fullAt(const std::vector<Use> &link, const std::vector<double> &speeds,
                           const std::vector<char> &isRising) const {
  double room = 1, rising = 0;
  for (const Use &use : link) {
    if (isRising[use.route])
      rising += use.part;
    else
      room -= use.part * speeds[use.route];
  }
  return rising > 0 ? std::max(room, 0.0) / rising : std::numeric_limits<double>::infinity();
}

std::vector<double> LinkSharing::speeds(const std::vector<char> &isActive) const {
  std::vector<double> speeds(isActive.size(), 0);
  std::vector<char> isRising = isActive;
  std::vector<double> full(links.size());
  while (true) {
    double level = 1;
    for (size_t link = 0; link < links.size(); ++link) {
      full[link] = fullAt(links[link], speeds, isRising);
      level = std::min(level, full[link]);
    }
    if (level >= 1)
      break;
    for (size_t link = 0; link < links.size(); ++link)
      if (full[link] <= level * (1 + kTolerance))
        for (const Use &use : links[link])
          if (isRising[use.route]) {
            speeds[use.route] = level;
            isRising[use.route] = false;
          }
  }
  for (size_t route = 0; route < speeds.size(); ++route)
    if (isRising[route])
      speeds[route] = 1;
  return speeds;
}

} // namespace alpa
