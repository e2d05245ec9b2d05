// Refuses sharding graphs whose problem could not be written down: costs beyond what its integers
// hold, tables beyond memory.

#include "alpa/IR/Stablehlo.h"
#include "alpa/Sharding/ShardingGraph.h"
#include "llvm/Support/Format.h"

namespace alpa {
namespace {

/// Eleven days. The problem counts picoseconds, and its forbidden costs begin here.
constexpr double kMaxSeconds = 1e6;
static_assert(kMaxSeconds * 1e12 <= static_cast<double>(kForbiddenCost));

/// Of all tables of the problem; solving it takes a few times as much.
constexpr double kMaxTableBytes = 4.0 * (int64_t(1) << 30);

constexpr llvm::StringLiteral kWhatToDo =
    "; check latencies, bandwidths and FLOP/s of the mesh (seconds, bytes per second)";

std::string printed(double number, const char *format) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  stream << llvm::format(format, number);
  return text;
}

std::string inSeconds(double number) { return printed(number, "%.3g s"); }
std::string inGibibytes(double bytes) {
  return printed(bytes / static_cast<double>(int64_t(1) << 30), "%.1f GiB");
}

bool isPrice(double seconds) { return seconds >= 0 && seconds < kMaxSeconds; }

} // namespace

llvm::LogicalResult ShardingGraph::checkPrices() const {
  for (const Vertex &vertex : allVertices)
    for (const Strategy &strategy : vertex.strategies)
      if (const double price = strategy.seconds * vertex.multiplicity; !isPrice(price))
        return (vertex.op ? vertex.op->emitError() : func->emitError())
               << "expected every cost below " << inSeconds(kMaxSeconds) << ", got "
               << inSeconds(price) << " for strategy '" << strategy.name << "'" << kWhatToDo;
  const int longestRoute = 2 * shardingTarget.mesh.numAxes();
  for (const Flow &flow : allFlows) {
    const double price = tables->of(flow.type).slowestStepSeconds() * longestRoute;
    if (!isPrice(price * flow.runs))
      return mlir::emitError(flow.value.getLoc())
             << "expected every reshard to take less than " << inSeconds(kMaxSeconds)
             << ", got up to " << inSeconds(price * flow.runs) << " for " << flow.value.getType()
             << kWhatToDo;
  }
  return mlir::success();
}

llvm::LogicalResult ShardingGraph::checkTableBytes() const {
  double entries = 0;
  auto numStrategies = [&](int vertex) {
    return static_cast<double>(allVertices[vertex].strategies.size());
  };
  for (const Flow &flow : allFlows) {
    const bool hasView = !sharing(flow).empty();
    const double made = numStrategies(flow.producer);
    const double view = tables->of(flow.type).size();
    entries += hasView ? made * view : 0;
    for (const Reader &reader : flow.readers)
      entries += (hasView ? view : made) * numStrategies(reader.vertex);
  }
  const double bytes = entries * sizeof(int64_t);
  if (bytes <= kMaxTableBytes)
    return mlir::success();
  return func->emitError() << "expected cost tables of at most " << inGibibytes(kMaxTableBytes)
                           << ", got " << inGibibytes(bytes) << " for " << allVertices.size()
                           << " ops and arguments on a mesh of " << shardingTarget.mesh.numAxes()
                           << " axes; plan on a mesh of fewer axes, or restrict strategies "
                              "(strategy-space=data, zero2 or zero3)";
}

} // namespace alpa
