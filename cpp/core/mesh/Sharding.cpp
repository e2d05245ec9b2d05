// Sharding: axes of dims, text form, enumeration.

#include "core/mesh/Sharding.h"
#include <algorithm>
#include <set>

namespace alpa {

std::vector<int> Sharding::axesOf(int dim) const {
  std::vector<int> axes;
  for (int position = 0; position < kMaxMeshAxes; ++position)
    for (int axis = 0; axis < kMaxMeshAxes; ++axis)
      if (dims[axis] == dim && positions[axis] == position)
        axes.push_back(axis);
  return axes;
}

void Sharding::append(int dim, int axis) {
  positions[axis] = static_cast<int8_t>(std::count(dims.begin(), dims.end(), dim));
  dims[axis] = static_cast<int8_t>(dim);
}

int Sharding::removeMinor(int dim) {
  int minor = -1;
  for (int axis = 0; axis < kMaxMeshAxes; ++axis)
    if (dims[axis] == dim && (minor < 0 || positions[axis] > positions[minor]))
      minor = axis;
  if (minor >= 0) {
    dims[minor] = -1;
    positions[minor] = 0;
  }
  return minor;
}

int64_t Sharding::shardsOf(int dim, const DeviceMesh &mesh) const {
  int64_t product = 1;
  for (int axis = 0; axis < mesh.numAxes(); ++axis)
    if (dims[axis] == dim)
      product *= mesh.axes()[axis].size;
  return product;
}

int64_t Sharding::numShards(const DeviceMesh &mesh) const {
  int64_t product = 1;
  for (int axis = 0; axis < mesh.numAxes(); ++axis)
    if (dims[axis] >= 0)
      product *= mesh.axes()[axis].size;
  return product;
}

std::string Sharding::str(int rank, const DeviceMesh &mesh) const {
  std::string text;
  for (int dim = 0; dim < rank; ++dim) {
    text += dim ? ",{" : "{";
    bool first = true;
    for (int axis : axesOf(dim)) {
      text += (first ? "" : ",") + mesh.axes()[axis].name;
      first = false;
    }
    text += "}";
  }
  return text;
}

std::optional<Sharding> Sharding::parse(const std::string &text, const DeviceMesh &mesh,
                                        std::string &error) {
  auto fail = [&](const std::string &why) -> std::optional<Sharding> {
    error = "expected a sharding such as {x},{}, got '" + text + "': " + why;
    return std::nullopt;
  };
  Sharding result;
  size_t at = 0;
  auto take = [&](char c) { return at < text.size() && text[at] == c ? (++at, true) : false; };
  for (int dim = 0; at < text.size(); ++dim) {
    if ((dim && !take(',')) || !take('{'))
      return fail("expected a dim in braces");
    while (!take('}')) {
      const size_t end = text.find_first_of(",}", at);
      if (end == std::string::npos)
        return fail("a brace is not closed");
      const std::string name = text.substr(at, end - at);
      const int axis = mesh.axisIndex(name);
      if (axis < 0)
        return fail("the mesh has no axis '" + name + "'");
      if (result.dimOf(axis) >= 0)
        return fail("axis '" + name + "' is used twice");
      result.append(dim, axis);
      at = end;
      take(',');
    }
  }
  return result;
}

bool divides(const Sharding &sharding, const std::vector<int64_t> &shape, const DeviceMesh &mesh) {
  for (size_t dim = 0; dim < shape.size(); ++dim)
    if (shape[dim] % sharding.shardsOf(static_cast<int>(dim), mesh) != 0)
      return false;
  return true;
}

std::vector<Sharding> allShardings(const std::vector<int64_t> &shape, const DeviceMesh &mesh,
                                   bool allOrders) {
  std::vector<int> order(mesh.numAxes());
  for (int axis = 0; axis < mesh.numAxes(); ++axis)
    order[axis] = axis;

  std::vector<Sharding> result;
  std::set<Sharding> seen;
  const int rank = static_cast<int>(shape.size());
  do {
    std::vector<Sharding> partial = {Sharding()};
    for (int axis : order) {
      std::vector<Sharding> next;
      for (const Sharding &sharding : partial)
        for (int dim = -1; dim < rank; ++dim) {
          Sharding extended = sharding;
          if (dim >= 0)
            extended.append(dim, axis);
          // An axis of one device splits nothing; leaving it out keeps one name for one layout.
          if (dim < 0 || mesh.axes()[axis].size > 1)
            next.push_back(extended);
        }
      partial = std::move(next);
    }
    for (const Sharding &sharding : partial)
      if (divides(sharding, shape, mesh) && seen.insert(sharding).second)
        result.push_back(sharding);
  } while (allOrders && std::next_permutation(order.begin(), order.end()));
  return result;
}

} // namespace alpa
