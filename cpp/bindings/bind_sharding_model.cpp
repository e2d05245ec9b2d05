// Binds meshes, devices and alpa::ShardingModel.

#include "bridge/ShardingModel.h"
#include "core/mesh/OpSeconds.h"
#include "core/mesh/ReshardTree.h"
#include "native.h"
#include <nanobind/stl/map.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>
#include <stdexcept>

namespace nb = nanobind;

namespace {

using Curves = std::map<std::string, std::pair<std::vector<double>, std::vector<double>>>;

double collectiveSeconds(const alpa::DeviceMesh &mesh, const std::string &kind,
                         const std::vector<std::string> &axes, int64_t bytes) {
  const std::optional<alpa::CollectiveKind> known = alpa::collectiveKind(kind);
  if (!known)
    throw std::invalid_argument("expected a kind of collective, got '" + kind + "'");
  alpa::Collective collective{*known, 0, bytes};
  for (const std::string &axis : axes) {
    if (mesh.axisIndex(axis) < 0)
      throw std::invalid_argument("expected axes of the mesh, got '" + axis + "'");
    collective.axes |= alpa::AxisSet(1) << mesh.axisIndex(axis);
  }
  return alpa::seconds(collective, mesh);
}

void bindMesh(nb::module_ &m) {
  m.attr("MAX_MESH_AXES") = alpa::kMaxMeshAxes;
  nb::class_<alpa::Link>(m, "Link").def(nb::init<double, double>(), nb::arg("latency_seconds"),
                                        nb::arg("bytes_per_second"));
  nb::class_<alpa::DeviceMesh>(m, "DeviceMesh")
      .def(
          "__init__",
          [](alpa::DeviceMesh *self, const std::vector<std::string> &names,
             const std::vector<int64_t> &sizes, int64_t devicesPerNode, const alpa::Link &intraNode,
             const alpa::Link &interNode) {
            if (sizes.size() != names.size())
              throw std::invalid_argument("expected one size per mesh axis, got " +
                                          std::to_string(names.size()) + " names and " +
                                          std::to_string(sizes.size()) + " sizes");
            std::vector<alpa::DeviceMeshAxis> axes;
            for (size_t i = 0; i < names.size(); ++i)
              axes.push_back({names[i], sizes[i]});
            const alpa::MeshLinks links{devicesPerNode, intraNode, interNode};
            alpa::DeviceMesh mesh(std::move(axes), links);
            mesh.check(); // before there is an object to destroy
            new (self) alpa::DeviceMesh(std::move(mesh));
          },
          nb::arg("axis_names"), nb::arg("axis_sizes"), nb::arg("devices_per_node"),
          nb::arg("intra_node"), nb::arg("inter_node"))
      .def_prop_ro("num_devices", &alpa::DeviceMesh::numDevices)
      .def("collective_seconds", &collectiveSeconds, nb::arg("kind"), nb::arg("axes"),
           nb::arg("bytes"),
           "Of one named as in HLO, e.g. \"all-reduce\"; bytes are the larger of operand and "
           "result, per device.");

  nb::class_<alpa::DeviceSpec>(m, "DeviceSpec")
      .def(
          "__init__",
          [](alpa::DeviceSpec *self, std::map<std::string, double> peakFlops, double bandwidth,
             int64_t memoryBytes, bool hasReduceScatter, const Curves &curves) {
            new (self)
                alpa::DeviceSpec{std::move(peakFlops), bandwidth, memoryBytes, hasReduceScatter};
            for (const auto &[name, points] : curves)
              self->curves[name] = {points.first, points.second};
            self->check();
          },
          nb::arg("peak_flops"), nb::arg("memory_bandwidth"), nb::arg("memory_bytes"),
          nb::arg("has_reduce_scatter"), nb::arg("curves") = Curves(),
          "Curves by name, as (sizes, seconds).")
      .def(
          "op_seconds",
          [](const alpa::DeviceSpec &device, const std::string &opClass,
             const std::string &elementType, double flops, double memoryBytes) {
            return alpa::seconds(alpa::OpWork{opClass, elementType, flops, memoryBytes}, device);
          },
          nb::arg("op_class"), nb::arg("element_type"), nb::arg("flops"), nb::arg("memory_bytes"));
}

alpa::Sharding parse(const std::string &text, const alpa::DeviceMesh &mesh) {
  std::string error;
  std::optional<alpa::Sharding> sharding = alpa::Sharding::parse(text, mesh, error);
  if (!sharding)
    throw std::invalid_argument(error);
  return *sharding;
}

void bindReshard(nb::module_ &m) {
  nb::class_<alpa::ReshardTable>(m, "ReshardTable",
                                 "Cheapest routes between the shardings of one tensor type.")
      .def(nb::init<std::vector<int64_t>, int64_t, const alpa::DeviceMesh &,
                    const alpa::DeviceSpec &>(),
           nb::arg("shape"), nb::arg("element_bytes"), nb::arg("mesh"), nb::arg("device"))
      .def(
          "seconds",
          [](const alpa::ReshardTable &table, const alpa::DeviceMesh &mesh, const std::string &from,
             const std::string &to) {
            return table.seconds(table.indexOf(parse(from, mesh)), table.indexOf(parse(to, mesh)));
          },
          nb::arg("mesh"), nb::arg("source"), nb::arg("target"))
      .def(
          "route",
          [](const alpa::ReshardTable &table, const alpa::DeviceMesh &mesh, const std::string &from,
             const std::string &to, int rank) {
            std::vector<std::tuple<std::string, std::string, int64_t>> steps;
            for (const alpa::ReshardStep &step : table.route(parse(from, mesh), parse(to, mesh)))
              steps.emplace_back(step.target.str(rank, mesh),
                                 step.isLocal() ? "slice" : alpa::name(step.collective.kind),
                                 step.isLocal() ? 0 : step.collective.bytes);
            return steps;
          },
          nb::arg("mesh"), nb::arg("source"), nb::arg("target"), nb::arg("rank"),
          "Steps as (sharding reached, kind of collective or \"slice\", bytes per device).")
      .def(
          "tree",
          [](const alpa::ReshardTable &table, const alpa::DeviceMesh &mesh, const std::string &made,
             const std::vector<std::string> &wanted, int rank) {
            std::vector<alpa::Sharding> targets;
            for (const std::string &text : wanted)
              targets.push_back(parse(text, mesh));
            const alpa::ReshardTree tree = alpa::reshardTree(table, parse(made, mesh), targets);
            std::vector<std::tuple<int, std::string>> steps;
            for (const alpa::ReshardTree::Step &step : tree.steps)
              steps.emplace_back(step.from, step.step.target.str(rank, mesh));
            return std::make_tuple(steps, tree.arrivals, tree.seconds());
          },
          nb::arg("mesh"), nb::arg("made"), nb::arg("wanted"), nb::arg("rank"),
          "Steps as (the step it follows or -1, sharding reached), the step that each reader gets, "
          "seconds.");
  m.def(
      "all_shardings",
      [](const std::vector<int64_t> &shape, const alpa::DeviceMesh &mesh) {
        std::vector<std::string> texts;
        for (const alpa::Sharding &sharding : alpa::allShardings(shape, mesh, /*allOrders=*/true))
          texts.push_back(sharding.str(static_cast<int>(shape.size()), mesh));
        return texts;
      },
      nb::arg("shape"), nb::arg("mesh"),
      "Every sharding of a tensor that divides it evenly, as text such as \"{x,y},{}\".");
}

} // namespace

void bindShardingModel(nb::module_ &m) {
  bindMesh(m);
  bindReshard(m);

  nb::class_<alpa::CollectiveReport>(m, "Collective")
      .def_ro("kind", &alpa::CollectiveReport::kind)
      .def_ro("axes", &alpa::CollectiveReport::axes)
      .def_ro("bytes", &alpa::CollectiveReport::bytes)
      .def_ro("count", &alpa::CollectiveReport::count)
      .def_ro("seconds", &alpa::CollectiveReport::seconds)
      .def_ro("op_id", &alpa::CollectiveReport::opId)
      .def_ro("op_name", &alpa::CollectiveReport::opName)
      .def_ro("phase", &alpa::CollectiveReport::phase)
      .def_ro("reason", &alpa::CollectiveReport::reason);

  nb::class_<alpa::BoundaryReport>(m, "Boundary")
      .def_ro("arguments", &alpa::BoundaryReport::arguments)
      .def_ro("results", &alpa::BoundaryReport::results)
      .def_ro("readers", &alpa::BoundaryReport::readers);

  using Model = alpa::ShardingModel;
  const auto released = nb::call_guard<nb::gil_scoped_release>();
  nb::class_<Model>(m, "ShardingModel")
      .def(nb::init<alpa::Module &, const alpa::DeviceMesh &, const alpa::DeviceSpec &,
                    const std::string &, int64_t>(),
           nb::arg("module"), nb::arg("mesh"), nb::arg("device"),
           nb::arg("strategy_space") = "auto", nb::arg("num_in_flight") = 1, nb::keep_alive<1, 2>(),
           released)
      .def_prop_ro("problem", &Model::problem, nb::rv_policy::reference_internal)
      .def_prop_ro("remarks", &Model::remarks)
      .def_prop_ro("num_vertices", &Model::numVertices)
      .def("op_id", &Model::opId, nb::arg("vertex"))
      .def("node_name", &Model::nodeName, nb::arg("vertex"))
      .def("strategy_names", &Model::strategyNames, nb::arg("vertex"))
      .def("is_fixed", &Model::isFixed, nb::arg("vertex"))
      .def("complete", &Model::complete, nb::arg("choices"), released)
      .def("apply", &Model::apply, nb::arg("choices"), released)
      .def("collectives", &Model::collectives, nb::arg("choices"), released)
      .def("seconds", &Model::seconds, nb::arg("choices"), released)
      .def("cost", &Model::cost, nb::arg("choices"), released)
      .def("phase_seconds", &Model::phaseSeconds, nb::arg("choices"), released)
      .def("peak_bytes", &Model::peakBytes, nb::arg("choices"), released)
      .def("phase_temporary_bytes", &Model::phaseTemporaryBytes, nb::arg("choices"), released)
      .def("boundary", &Model::boundary, nb::arg("choices"), released);
  m.def("strategy_spaces", &alpa::strategySpaces);
}
