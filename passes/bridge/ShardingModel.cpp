// alpa::ShardingModel on top of the sharding graph.

#include "bridge/ShardingModel.h"
#include "alpa/IR/Attributes.h"
#include "alpa/Sharding/Boundary.h"
#include "alpa/Sharding/ChosenShardings.h"
#include "alpa/Sharding/ShardingGraph.h"
#include "bridge/DiagnosticCollector.h"
#include <cmath>
#include <stdexcept>

namespace alpa {
namespace {

int64_t idOf(mlir::Operation *op) {
  auto id = op ? op->getAttrOfType<mlir::IntegerAttr>(kOpIdAttr) : mlir::IntegerAttr();
  return id ? id.getInt() : -1;
}

} // namespace

std::vector<std::string> strategySpaces() { return strategySpaceNames(); }

struct ShardingModel::State {
  std::optional<ShardingGraph> graph;
  ShardingProblem problem;
  std::vector<Diagnostic> remarks;
};

ShardingModel::ShardingModel(Module &module, const DeviceMesh &mesh, const DeviceSpec &device,
                             const std::string &strategySpace, int64_t numInFlight)
    : state(std::make_unique<State>()) {
  mesh.check();
  device.check();
  std::string error;
  std::optional<StrategySpace> space = parseStrategySpace(strategySpace, error);
  if (!space)
    throw std::invalid_argument(error);
  if (numInFlight < 1)
    throw std::invalid_argument("expected at least one microbatch in flight, got " +
                                std::to_string(numInFlight));
  const ShardingTarget target{mesh, device, *space, numInFlight};
  DiagnosticCollector collector(module.get().getContext());
  mlir::FailureOr<ShardingGraph> graph = ShardingGraph::build(module.get(), target);
  if (mlir::failed(graph))
    collector.fail("the sharding strategies could not be enumerated");
  state->graph = std::move(*graph);
  state->problem = state->graph->problem();
  state->remarks = collector.take();
}

ShardingModel::~ShardingModel() = default;

const ShardingProblem &ShardingModel::problem() const { return state->problem; }
const std::vector<Diagnostic> &ShardingModel::remarks() const { return state->remarks; }
int ShardingModel::numVertices() const { return static_cast<int>(state->graph->vertices().size()); }

int64_t ShardingModel::opId(int vertex) const {
  return idOf(state->graph->vertices().at(vertex).op);
}

std::string ShardingModel::nodeName(int number) const {
  const Vertex &vertex = state->graph->vertices().at(number);
  switch (vertex.kind) {
  case Vertex::Kind::Argument:
    if (auto given =
            state->graph->function().getArgAttrOfType<mlir::StringAttr>(vertex.index, kNameAttr))
      return given.str();
    return "argument " + std::to_string(vertex.index);
  case Vertex::Kind::Op:
    return vertex.op->getName().getStringRef().str();
  case Vertex::Kind::Carried:
    return "carried " + std::to_string(vertex.index) + " of " +
           vertex.op->getName().getStringRef().str();
  }
  return "";
}

std::vector<std::string> ShardingModel::strategyNames(int vertex) const {
  std::vector<std::string> names;
  for (const Strategy &strategy : state->graph->vertices().at(vertex).strategies)
    names.push_back(strategy.name);
  return names;
}

bool ShardingModel::isFixed(int vertex) const {
  return state->graph->vertices().at(vertex).strategies.front().isFixed;
}

void ShardingModel::check(const std::vector<int> &choices) const {
  const std::vector<Vertex> &vertices = state->graph->vertices();
  if (choices.size() != vertices.size())
    throw std::invalid_argument("expected " + std::to_string(vertices.size()) + " choices, got " +
                                std::to_string(choices.size()));
  for (size_t i = 0; i < vertices.size(); ++i)
    if (choices[i] < 0 || choices[i] >= static_cast<int>(vertices[i].strategies.size()))
      throw std::invalid_argument("expected a choice below " +
                                  std::to_string(vertices[i].strategies.size()) + " for node " +
                                  std::to_string(i) + ", got " + std::to_string(choices[i]));
}

std::vector<int> ShardingModel::complete(const std::vector<int> &choices) const {
  check(choices);
  return state->graph->complete(choices);
}

void ShardingModel::apply(const std::vector<int> &choices) {
  check(choices);
  state->graph->write(choices);
}

std::vector<CollectiveReport> ShardingModel::collectives(const std::vector<int> &choices) const {
  check(choices);
  const DeviceMesh &mesh = state->graph->target().mesh;
  std::vector<CollectiveReport> reports;
  for (const PredictedCollective &predicted : state->graph->collectives(choices)) {
    CollectiveReport report;
    report.kind = name(predicted.collective.kind);
    for (int axis = 0; axis < mesh.numAxes(); ++axis)
      if (predicted.collective.axes >> axis & 1)
        report.axes.push_back(mesh.axes()[axis].name);
    report.bytes = predicted.collective.bytes;
    report.count = predicted.count;
    report.seconds = predicted.seconds;
    report.opId = idOf(predicted.op);
    report.opName = predicted.op ? predicted.op->getName().getStringRef().str() : "return";
    report.phase = predicted.phase;
    report.reason = predicted.reason;
    reports.push_back(std::move(report));
  }
  return reports;
}

std::map<std::string, double> ShardingModel::seconds(const std::vector<int> &choices) const {
  check(choices);
  const ShardingGraph::Seconds seconds = state->graph->seconds(choices);
  return {{"compute", seconds.compute},
          {"collectives", seconds.collectives},
          {"copies", seconds.copies}};
}

int64_t ShardingModel::cost(const std::vector<int> &choices) const {
  check(choices);
  // Every cost fits, as build() has checked; the sum of all of them may not.
  const double picoseconds = state->graph->seconds(choices).total() * 1e12;
  if (!(picoseconds < 9e18))
    throw std::overflow_error("expected a plan of less than 9e6 s, got " +
                              std::to_string(picoseconds * 1e-12) +
                              " s: check latencies, bandwidths and FLOP/s of the mesh");
  return std::llround(picoseconds);
}

std::map<std::string, double> ShardingModel::phaseSeconds(const std::vector<int> &choices) const {
  check(choices);
  return state->graph->phaseSeconds(choices);
}

int64_t ShardingModel::peakBytes(const std::vector<int> &choices) const {
  check(choices);
  return state->graph->peakBytes(choices);
}

std::map<std::string, int64_t>
ShardingModel::phaseTemporaryBytes(const std::vector<int> &choices) const {
  check(choices);
  return state->graph->phaseTemporaryBytes(choices);
}

BoundaryReport ShardingModel::boundary(const std::vector<int> &choices) const {
  check(choices);
  const DeviceMesh &mesh = state->graph->target().mesh;
  mlir::FunctionOpInterface func = state->graph->function();
  Boundary boundary = boundaryOf(*state->graph, choices);
  BoundaryReport report;
  auto text = [&](mlir::Type type, const Sharding &sharding) {
    return sharding.str(static_cast<int>(shapeOf(type).size()), mesh);
  };
  for (auto [argument, sharding] : llvm::zip(func.getArguments(), boundary.arguments)) {
    report.arguments.push_back(text(argument.getType(), sharding));
    report.readers.push_back(idOf(explainingReader(argument)));
  }
  for (auto [type, sharding] : llvm::zip(func.getResultTypes(), boundary.results))
    report.results.push_back(text(type, sharding));
  return report;
}

} // namespace alpa
