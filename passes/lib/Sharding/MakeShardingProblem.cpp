// The sharding problem of a sharding graph: Alpa's (section 4.2), but that readers of a value share
// its reshards.

#include "alpa/IR/Stablehlo.h"
#include "alpa/Sharding/Partitioner.h"
#include "alpa/Sharding/ShardingGraph.h"
#include <cmath>

namespace alpa {
namespace {

constexpr double kPicosecondsPerSecond = 1e12;

/// Limits of the graph keep it far within 64 bits.
int64_t picoseconds(double seconds) {
  return static_cast<int64_t>(std::llround(seconds * kPicosecondsPerSecond));
}

/// An edge between nodes whose strategies leave or want these shardings (numbers of the table).
void addEdge(ShardingProblem &problem, int first, llvm::ArrayRef<int> from, int second,
             llvm::ArrayRef<int> to, const ReshardTable &table, double runs) {
  ShardingEdge edge{first, second, {}};
  edge.costs.reserve(from.size() * to.size());
  bool isFree = true;
  for (int source : from)
    for (int target : to) {
      edge.costs.push_back(picoseconds(table.seconds(source, target) * runs));
      isFree = isFree && edge.costs.back() == 0;
    }
  if (!isFree)
    problem.edges.push_back(std::move(edge));
}

} // namespace

/// The readers that share the view of a flow; none where it has no view. A map of elements mostly
/// goes along with what it reads: the update of an argument, and maps of what is only a map itself,
/// have edges of their own, which never price a plan below its cost either. Without their views the
/// search is twice as fast and ends up at plans as good (GPT-2-medium on 2x4).
std::vector<Reader> ShardingGraph::sharing(const Flow &flow) const {
  const Vertex &producer = allVertices[flow.producer];
  auto isMap = [&](const Reader &reader) {
    const Vertex &vertex = allVertices[reader.vertex];
    return vertex.kind == Vertex::Kind::Op && isElementwise(vertex.op);
  };
  std::vector<Reader> readers(flow.readers.begin(), flow.readers.end());
  if (producer.kind == Vertex::Kind::Argument)
    llvm::erase_if(readers, isMap);
  else if (producer.kind == Vertex::Kind::Op && forwardsShardings(producer.op) &&
           llvm::all_of(readers, isMap))
    readers.clear();
  if (readers.size() < 2 || tables->of(flow.type).size() < 2)
    readers.clear();
  return readers;
}

int ShardingGraph::numNodes() const {
  return static_cast<int>(allVertices.size() + llvm::count_if(allFlows, [&](const Flow &flow) {
                            return !sharing(flow).empty();
                          }));
}

ShardingProblem ShardingGraph::problem() const {
  ShardingProblem problem;
  for (const Vertex &vertex : allVertices) {
    ShardingNode node;
    node.interval = vertex.live;
    node.usages = vertex.usages;
    for (const Strategy &strategy : vertex.strategies)
      node.costs.push_back(picoseconds(strategy.seconds * vertex.multiplicity));
    problem.nodes.push_back(std::move(node));
  }
  for (const Flow &flow : allFlows)
    addEdges(flow, problem);
  if (shardingTarget.device.memoryBytes > 0)
    problem.usageLimit = shardingTarget.device.memoryBytes;
  return problem;
}

/// Every sharding a value has or is wanted in, by number: those with axes in the order of the mesh,
/// then the others as they are met.
std::vector<int> ShardingGraph::viewShardings(const Flow &flow) const {
  const mlir::Type type = flow.value.getType();
  const ReshardTable &table = tables->of(type);
  std::vector<int> numbers;
  std::vector<bool> isListed(table.size());
  auto list = [&](const Sharding &sharding) {
    const int number = table.indexOf(sharding);
    if (!isListed[number])
      numbers.push_back(number);
    isListed[number] = true;
  };
  for (const Sharding &sharding : allShardings(shapeOf(type), shardingTarget.mesh, false))
    list(sharding);
  for (const Strategy &strategy : allVertices[flow.producer].strategies)
    list(strategy.results[flow.result]);
  for (const Reader &reader : flow.readers)
    for (size_t s = 0; s < allVertices[reader.vertex].strategies.size(); ++s)
      list(consumed(reader, static_cast<int>(s)));
  return numbers;
}

void ShardingGraph::addEdges(const Flow &flow, ShardingProblem &problem) const {
  const ReshardTable &table = tables->of(flow.type);
  auto numbers = [&](int vertex, auto sharding) {
    std::vector<int> result;
    for (size_t s = 0; s < allVertices[vertex].strategies.size(); ++s)
      result.push_back(table.indexOf(sharding(static_cast<int>(s))));
    return result;
  };
  const std::vector<int> made = numbers(flow.producer, [&](int s) { return produced(flow, s); });
  auto addReader = [&](int from, const std::vector<int> &left, const Reader &reader) {
    addEdge(problem, from, left, reader.vertex,
            numbers(reader.vertex, [&](int s) { return consumed(reader, s); }), table, flow.runs);
  };
  const std::vector<Reader> shared = sharing(flow);
  for (const Reader &reader : flow.readers)
    if (!llvm::is_contained(shared, reader))
      addReader(flow.producer, made, reader);
  if (shared.empty())
    return;
  const std::vector<int> view = viewShardings(flow);
  const std::vector<int64_t> free(view.size(), 0);
  const int node = problem.addNode(Interval(), free, free);
  addEdge(problem, flow.producer, made, node, view, table, flow.runs);
  for (const Reader &reader : shared)
    addReader(node, view, reader);
}

std::vector<int> ShardingGraph::complete(llvm::ArrayRef<int> choices) const {
  std::vector<int> all = choices.vec();
  for (const Flow &flow : allFlows) {
    const std::vector<Reader> shared = sharing(flow);
    if (shared.empty())
      continue;
    const ReshardTable &table = tables->of(flow.type);
    const int from = table.indexOf(produced(flow, choices[flow.producer]));
    auto cost = [&](int source, int target) {
      return picoseconds(table.seconds(source, target) * flow.runs);
    };
    std::vector<int64_t> costs;
    for (int view : viewShardings(flow)) {
      costs.push_back(cost(from, view));
      for (const Reader &reader : shared)
        costs.back() += cost(view, table.indexOf(consumed(reader, choices[reader.vertex])));
    }
    all.push_back(static_cast<int>(llvm::min_element(costs) - costs.begin()));
  }
  return all;
}

} // namespace alpa
