#include "core/transfer/TransferProblem.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <stdexcept>
#include <string>

namespace alpa {
namespace {

using DevicesOfTile = std::map<Tile, std::vector<int32_t>>;

// So that bytes and elements stay far from overflow.
constexpr int64_t kMaxBytes = int64_t(1) << 60;

[[noreturn]] void fail(const std::string &where, const std::string &relation) {
  throw std::invalid_argument(where + ": expected " + relation);
}

std::string str(const Tile &tile) {
  std::string text;
  for (auto [first, end] : tile)
    text += (text.empty() ? "" : ", ") + std::to_string(first) + ":" + std::to_string(end);
  return "[" + text + "]";
}

void checkLink(const char *name, const Link &link) {
  if (!(link.bytesPerSecond > 0) || !std::isfinite(link.bytesPerSecond))
    fail(name, "a finite bandwidth above 0, got " + text(link.bytesPerSecond));
  if (!(link.latencySeconds >= 0) || !std::isfinite(link.latencySeconds))
    fail(name, "a finite latency of at least 0, got " + text(link.latencySeconds));
}

void checkSizes(const TransferProblem &problem) {
  if (problem.elementBytes < 1)
    fail("element bytes", "at least 1, got " + std::to_string(problem.elementBytes));
  double bytes = static_cast<double>(problem.elementBytes);
  for (int64_t size : problem.shape) {
    if (size < 0)
      fail("shape", "sizes of at least 0, got " + std::to_string(size));
    bytes *= static_cast<double>(std::max<int64_t>(size, 1));
  }
  if (bytes > static_cast<double>(kMaxBytes))
    fail("shape", "at most 2^60 bytes, got " + std::to_string(bytes));
  if (problem.links.devicesPerNode < 1)
    fail("devices per node", "at least 1, got " + std::to_string(problem.links.devicesPerNode));
  checkLink("link inside nodes", problem.links.intraNode);
  checkLink("link between nodes", problem.links.interNode);
}

void checkTile(const char *side, const DeviceTile &entry, const std::vector<int64_t> &shape) {
  const std::string where = std::string(side) + " device " + std::to_string(entry.device);
  if (entry.device < 0)
    fail(where, "a number of at least 0");
  bool isInside = entry.tile.size() == shape.size();
  for (size_t dim = 0; isInside && dim < shape.size(); ++dim) {
    auto [first, end] = entry.tile[dim];
    isInside = 0 <= first && first <= end && end <= shape[dim];
  }
  if (!isInside)
    fail(where, "a tile of the array, got " + str(entry.tile));
}

DevicesOfTile devicesOfTile(const std::vector<DeviceTile> &side) {
  DevicesOfTile devices;
  for (const DeviceTile &entry : side)
    if (numElements(entry.tile) > 0)
      devices[entry.tile].push_back(entry.device);
  return devices;
}

void checkSide(const char *side, const std::vector<DeviceTile> &entries,
               const std::vector<int64_t> &shape) {
  std::set<int32_t> devices;
  for (const DeviceTile &entry : entries) {
    checkTile(side, entry, shape);
    if (!devices.insert(entry.device).second)
      fail(std::string(side) + " device " + std::to_string(entry.device), "one tile, got two");
  }
  DevicesOfTile tiles = devicesOfTile(entries);
  for (auto a = tiles.begin(); a != tiles.end(); ++a)
    for (auto b = std::next(a); b != tiles.end(); ++b)
      if (numElements(overlap(a->first, b->first)) > 0)
        fail(side,
             "tiles that are equal or disjoint, got " + str(a->first) + " and " + str(b->first));
}

} // namespace

int64_t numElements(const Tile &tile) {
  int64_t count = 1;
  for (auto [first, end] : tile)
    count *= end - first;
  return count;
}

Tile overlap(const Tile &a, const Tile &b) {
  Tile common(a.size());
  for (size_t dim = 0; dim < a.size(); ++dim) {
    int64_t first = std::max(a[dim].first, b[dim].first);
    common[dim] = {first, std::max(first, std::min(a[dim].second, b[dim].second))};
  }
  return common;
}

void TransferProblem::check() const {
  checkSizes(*this);
  checkSide("source", source, shape);
  checkSide("target", target, shape);
  int64_t whole = 1, there = 0;
  for (int64_t size : shape)
    whole *= size;
  for (const auto &[tile, devices] : devicesOfTile(source))
    there += numElements(tile);
  if (there != whole)
    fail("source",
         "tiles of all " + std::to_string(whole) + " elements, got " + std::to_string(there));
}

std::vector<Slice> findSlices(const TransferProblem &problem) {
  std::vector<Slice> slices;
  const DevicesOfTile there = devicesOfTile(problem.source);
  for (const auto &[wanted, wanting] : devicesOfTile(problem.target))
    for (const auto &[tile, holders] : there) {
      Slice slice = {overlap(tile, wanted), holders, {}};
      if (numElements(slice.tile) == 0)
        continue;
      for (int32_t device : wanting)
        if (std::find(holders.begin(), holders.end(), device) == holders.end())
          slice.receivers.push_back(device);
      if (!slice.receivers.empty())
        slices.push_back(std::move(slice));
    }
  return slices;
}

} // namespace alpa
