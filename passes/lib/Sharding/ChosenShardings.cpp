// Reads and writes chosen shardings as attributes.

#include "alpa/Sharding/ChosenShardings.h"
#include "alpa/IR/Attributes.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/Support/raw_ostream.h"

namespace alpa {
namespace {

constexpr llvm::StringLiteral kMesh = "alpa.mesh";
constexpr llvm::StringLiteral kOperands = "alpa.operands";

int rankOf(mlir::Type type) { return static_cast<int>(shapeOf(type).size()); }

mlir::ArrayAttr texts(mlir::TypeRange types, llvm::ArrayRef<Sharding> shardings,
                      const DeviceMesh &mesh, mlir::MLIRContext *context) {
  llvm::SmallVector<mlir::Attribute> attributes;
  for (auto [type, sharding] : llvm::zip(types, shardings))
    attributes.push_back(mlir::StringAttr::get(context, sharding.str(rankOf(type), mesh)));
  return mlir::ArrayAttr::get(context, attributes);
}

/// Reads "{x},{}"; the number of dims must be the type's.
mlir::FailureOr<Sharding> read(mlir::Attribute attribute, mlir::Type type, const DeviceMesh &mesh,
                               llvm::function_ref<mlir::InFlightDiagnostic()> emitError) {
  auto text = llvm::dyn_cast<mlir::StringAttr>(attribute);
  if (!text)
    return emitError() << "expected a sharding such as \"{x},{}\", got " << attribute;
  std::string error;
  std::optional<Sharding> sharding = Sharding::parse(text.str(), mesh, error);
  if (!sharding)
    return emitError() << error;
  const std::string canonical = sharding->str(rankOf(type), mesh);
  if (canonical != text.getValue())
    return emitError() << "expected a sharding of " << rankOf(type) << " dims, got " << text;
  for (const DeviceMeshAxis &axis : mesh.axes())
    if (axis.size == 1 && sharding->dimOf(mesh.axisIndex(axis.name)) >= 0)
      return emitError() << "expected a sharding by axes of several devices, got " << text
                         << " with '" << axis.name << "' of one";
  if (!divides(*sharding, shapeOf(type), mesh))
    return emitError() << "expected a sharding that divides " << type << ", got " << text;
  return *sharding;
}

MaybeShardings readList(mlir::Operation *op, llvm::StringRef name, mlir::TypeRange types,
                        const DeviceMesh &mesh) {
  mlir::Attribute attribute = op->getDiscardableAttr(name);
  if (!attribute)
    return std::optional<llvm::SmallVector<Sharding>>();
  auto list = llvm::dyn_cast<mlir::ArrayAttr>(attribute);
  if (!list || list.size() != types.size())
    return op->emitOpError() << "expected '" << name << "' to list " << types.size()
                             << " shardings, got " << attribute;
  llvm::SmallVector<Sharding> shardings;
  for (auto [element, type] : llvm::zip(list, types)) {
    auto sharding = read(element, type, mesh, [&] { return op->emitOpError(); });
    if (mlir::failed(sharding))
      return mlir::failure();
    shardings.push_back(*sharding);
  }
  return std::optional(shardings);
}

mlir::Attribute linkAttribute(mlir::Builder &builder, const Link &link) {
  return builder.getDictionaryAttr(
      {builder.getNamedAttr("bytes_per_second", builder.getF64FloatAttr(link.bytesPerSecond)),
       builder.getNamedAttr("latency_seconds", builder.getF64FloatAttr(link.latencySeconds))});
}

/// -1, which no rate is, where the attribute is no number.
double number(mlir::Attribute attribute) {
  auto value = llvm::dyn_cast_or_null<mlir::FloatAttr>(attribute);
  return value ? value.getValueAsDouble() : -1;
}

Link readLink(mlir::DictionaryAttr link) {
  if (!link)
    return {-1, -1};
  return {number(link.get("latency_seconds")), number(link.get("bytes_per_second"))};
}

/// What is missing or malformed is something that `DeviceMesh::complaint` objects to.
MeshLinks readLinks(mlir::DictionaryAttr mesh) {
  auto devicesPerNode = mesh.getAs<mlir::IntegerAttr>("devices_per_node");
  return {devicesPerNode ? devicesPerNode.getInt() : 0,
          readLink(mesh.getAs<mlir::DictionaryAttr>("intra_node")),
          readLink(mesh.getAs<mlir::DictionaryAttr>("inter_node"))};
}

} // namespace

void writeMesh(mlir::ModuleOp module, const DeviceMesh &mesh, const DeviceSpec &device) {
  mlir::Builder builder(module.getContext());
  llvm::SmallVector<mlir::Attribute> names, sizes;
  for (const DeviceMeshAxis &axis : mesh.axes()) {
    names.push_back(builder.getStringAttr(axis.name));
    sizes.push_back(builder.getI64IntegerAttr(axis.size));
  }
  const MeshLinks &links = mesh.links();
  module->setDiscardableAttr(
      kMesh,
      builder.getDictionaryAttr({
          builder.getNamedAttr("axes", builder.getArrayAttr(names)),
          builder.getNamedAttr("devices_per_node", builder.getI64IntegerAttr(links.devicesPerNode)),
          builder.getNamedAttr("has_reduce_scatter", builder.getBoolAttr(device.hasReduceScatter)),
          builder.getNamedAttr("inter_node", linkAttribute(builder, links.interNode)),
          builder.getNamedAttr("intra_node", linkAttribute(builder, links.intraNode)),
          builder.getNamedAttr("memory_bytes_per_second",
                               builder.getF64FloatAttr(device.memoryBytesPerSecond)),
          builder.getNamedAttr("sizes", builder.getArrayAttr(sizes)),
      }));
}

mlir::FailureOr<ChosenMesh> readMesh(mlir::ModuleOp module) {
  auto dictionary = module->getAttrOfType<mlir::DictionaryAttr>(kMesh);
  if (!dictionary)
    return module.emitError() << "expected '" << kMesh
                              << "' on the module, got none: run alpa-choose-strategies first";
  auto list = [&](llvm::StringRef name) {
    auto found = dictionary.getAs<mlir::ArrayAttr>(name);
    return found ? found.getValue() : llvm::ArrayRef<mlir::Attribute>();
  };
  const auto names = list("axes"), sizes = list("sizes");
  ChosenMesh chosen;
  chosen.device.memoryBytesPerSecond = number(dictionary.get("memory_bytes_per_second"));
  auto hasReduceScatter = dictionary.getAs<mlir::BoolAttr>("has_reduce_scatter");
  chosen.device.hasReduceScatter = hasReduceScatter && hasReduceScatter.getValue();
  std::vector<DeviceMeshAxis> axes;
  bool isValid = hasReduceScatter && sizes.size() == names.size();
  for (size_t i = 0; isValid && i < names.size(); ++i) {
    auto name = llvm::dyn_cast<mlir::StringAttr>(names[i]);
    auto size = llvm::dyn_cast<mlir::IntegerAttr>(sizes[i]);
    isValid = name && size;
    if (isValid)
      axes.push_back({name.str(), size.getInt()});
  }
  chosen.mesh = DeviceMesh(std::move(axes), readLinks(dictionary));
  chosen.device.peakFlops = {{"f32", 1}}; // nobody asks for it
  if (!isValid || !chosen.mesh.complaint().empty() || !chosen.device.complaint().empty())
    return module.emitError()
           << "expected '" << kMesh
           << "' with distinct axes, their sizes, devices_per_node, latency_seconds and "
              "bytes_per_second of intra_node and inter_node, has_reduce_scatter and "
              "memory_bytes_per_second, got "
           << dictionary;
  return chosen;
}

void writeArgument(mlir::FunctionOpInterface func, unsigned argument, const Sharding &sharding,
                   const DeviceMesh &mesh) {
  const int rank = rankOf(func.getArgument(argument).getType());
  func.setArgAttr(argument, kShardingOfValueAttr,
                  mlir::StringAttr::get(func->getContext(), sharding.str(rank, mesh)));
}

void writeOperands(mlir::Operation *op, llvm::ArrayRef<Sharding> shardings,
                   const DeviceMesh &mesh) {
  op->setDiscardableAttr(kOperands,
                         texts(op->getOperandTypes(), shardings, mesh, op->getContext()));
}

void writeResults(mlir::Operation *op, llvm::ArrayRef<Sharding> shardings, const DeviceMesh &mesh) {
  op->setDiscardableAttr(kResultShardingsAttr,
                         texts(op->getResultTypes(), shardings, mesh, op->getContext()));
}

MaybeShardings readOperands(mlir::Operation *op, const DeviceMesh &mesh) {
  return readList(op, kOperands, op->getOperandTypes(), mesh);
}

MaybeShardings readResults(mlir::Operation *op, const DeviceMesh &mesh) {
  return readList(op, kResultShardingsAttr, op->getResultTypes(), mesh);
}

mlir::FailureOr<std::optional<Sharding>> readArgument(mlir::FunctionOpInterface func,
                                                      unsigned argument, const DeviceMesh &mesh) {
  mlir::Attribute attribute = func.getArgAttr(argument, kShardingOfValueAttr);
  if (!attribute)
    return std::optional<Sharding>();
  auto sharding = read(attribute, func.getArgument(argument).getType(), mesh,
                       [&] { return func->emitOpError() << "argument " << argument << ": "; });
  if (mlir::failed(sharding))
    return mlir::failure();
  return std::optional(*sharding);
}

mlir::FailureOr<std::optional<Sharding>> readResult(mlir::FunctionOpInterface func, unsigned result,
                                                    const DeviceMesh &mesh) {
  mlir::Attribute attribute = func.getResultAttr(result, kShardingOfValueAttr);
  if (!attribute)
    return std::optional<Sharding>();
  auto sharding = read(attribute, func.getResultTypes()[result], mesh,
                       [&] { return func->emitOpError() << "result " << result << ": "; });
  if (mlir::failed(sharding))
    return mlir::failure();
  return std::optional(*sharding);
}

void eraseChoices(mlir::ModuleOp module) {
  module->removeDiscardableAttr(kMesh);
  module.walk([&](mlir::Operation *op) {
    op->removeDiscardableAttr(kOperands);
    op->removeDiscardableAttr(kResultShardingsAttr);
    if (auto func = llvm::dyn_cast<mlir::FunctionOpInterface>(op)) {
      for (unsigned argument = 0; argument < func.getNumArguments(); ++argument)
        func.removeArgAttr(argument, kShardingOfValueAttr);
      for (unsigned result = 0; result < func.getNumResults(); ++result)
        func.removeResultAttr(result,
                              mlir::StringAttr::get(module.getContext(), kShardingOfValueAttr));
    }
  });
}

std::optional<unsigned> updatedBy(mlir::FunctionOpInterface func, unsigned argument) {
  auto result = func.getArgAttrOfType<mlir::IntegerAttr>(argument, kStateAttr);
  if (!result || result.getInt() < 0 || result.getInt() >= func.getNumResults() ||
      shapeOf(func.getResultTypes()[result.getInt()]) != shapeOf(func.getArgumentTypes()[argument]))
    return std::nullopt;
  return static_cast<unsigned>(result.getInt());
}

std::vector<int64_t> shapeOf(mlir::Type type) {
  auto tensor = llvm::dyn_cast<mlir::RankedTensorType>(type);
  return tensor ? tensor.getShape().vec() : std::vector<int64_t>();
}

int64_t elementBytesOf(mlir::Type type) {
  auto tensor = llvm::dyn_cast<mlir::RankedTensorType>(type);
  if (!tensor)
    return 0;
  mlir::Type element = tensor.getElementType();
  int64_t parts = 1;
  if (auto complex = llvm::dyn_cast<mlir::ComplexType>(element)) {
    element = complex.getElementType();
    parts = 2;
  }
  return element.isIntOrFloat() ? parts * ((element.getIntOrFloatBitWidth() + 7) / 8) : parts;
}

std::string elementTypeName(mlir::Type type) {
  std::string text;
  llvm::raw_string_ostream(text) << mlir::getElementTypeOrSelf(type);
  return text;
}

} // namespace alpa
