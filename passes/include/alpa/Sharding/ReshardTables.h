// The reshard tables of the tensor types of a module, each made when first asked for.
#pragma once

#include "alpa/Sharding/ChosenShardings.h"
#include "core/mesh/Reshard.h"
#include <map>
#include <memory>

namespace alpa {

class ReshardTables {
public:
  ReshardTables(DeviceMesh mesh, DeviceSpec device)
      : mesh(std::move(mesh)), device(std::move(device)) {}

  /// Types of equal shape and element size share a table. It lives as long as this object.
  const ReshardTable &of(mlir::Type type) {
    auto &table = tables[{shapeOf(type), elementBytesOf(type)}];
    if (!table)
      table = std::make_unique<ReshardTable>(shapeOf(type), elementBytesOf(type), mesh, device);
    return *table;
  }

private:
  DeviceMesh mesh;
  DeviceSpec device;
  std::map<std::pair<std::vector<int64_t>, int64_t>, std::unique_ptr<ReshardTable>> tables;
};

} // namespace alpa
