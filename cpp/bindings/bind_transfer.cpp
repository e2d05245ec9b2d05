// Binds the transfer problem, its plans and their verifier.

#include "core/transfer/VerifyTransfer.h"
#include "native.h"
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

namespace nb = nanobind;
using namespace alpa;

namespace {

using DeviceTiles = std::vector<std::pair<int32_t, Tile>>;

std::vector<DeviceTile> toTiles(const DeviceTiles &pairs) {
  std::vector<DeviceTile> tiles;
  for (const auto &[device, tile] : pairs)
    tiles.push_back({device, tile});
  return tiles;
}

void bindTransferPlan(nb::module_ &m) {
  nb::class_<Slice>(m, "Slice", "A part of one tile of the source and of one that is wanted.")
      .def_ro("tile", &Slice::tile)
      .def_ro("holders", &Slice::holders)
      .def_ro("receivers", &Slice::receivers);
  nb::class_<Send>(m, "Send", "Elements of a slice, row-major, that go from device to device.")
      .def(nb::init<int32_t, int64_t, int64_t, int32_t, int32_t, double>(), nb::kw_only(),
           nb::arg("slice"), nb::arg("begin"), nb::arg("end"), nb::arg("sender"),
           nb::arg("receiver"), nb::arg("start_seconds") = 0.0)
      .def_ro("slice", &Send::slice)
      .def_ro("begin", &Send::begin)
      .def_ro("end", &Send::end)
      .def_ro("sender", &Send::sender)
      .def_ro("receiver", &Send::receiver)
      .def_ro("start_seconds", &Send::startSeconds);
  nb::class_<TransferPlan>(m, "TransferPlan", "Who sends what to whom, in which order.")
      .def(
          nb::init<std::vector<Slice>, std::vector<Send>, double, double, bool, int64_t, int64_t>(),
          nb::kw_only(), nb::arg("slices"), nb::arg("sends"), nb::arg("makespan_seconds"),
          nb::arg("bound_seconds") = 0.0, nb::arg("is_optimal") = false,
          nb::arg("crossing_bytes") = 0, nb::arg("least_crossing_bytes") = 0)
      .def_ro("slices", &TransferPlan::slices)
      .def_ro("sends", &TransferPlan::sends)
      .def_ro("makespan_seconds", &TransferPlan::makespanSeconds)
      .def_ro("bound_seconds", &TransferPlan::boundSeconds)
      .def_ro("is_optimal", &TransferPlan::isOptimal)
      .def_ro("crossing_bytes", &TransferPlan::crossingBytes)
      .def_ro("least_crossing_bytes", &TransferPlan::leastCrossingBytes);
  nb::class_<LinkUse>(m, "LinkUse", "What one direction of a port or card carries.")
      .def_ro("link", &LinkUse::link)
      .def_ro("number", &LinkUse::number)
      .def_ro("bytes", &LinkUse::bytes)
      .def_ro("busy_seconds", &LinkUse::busySeconds);
  nb::class_<TransferReplay>(m, "TransferReplay", "A plan on a clock.")
      .def_ro("makespan_seconds", &TransferReplay::makespanSeconds)
      .def_ro("crossing_bytes", &TransferReplay::crossingBytes)
      .def_ro("links", &TransferReplay::links);
}

void bindTransferProblem(nb::module_ &m) {
  nb::class_<TransferProblem>(m, "TransferProblem",
                              "An array in tiles on devices, wanted in other tiles on others.")
      .def(
          "__init__",
          [](TransferProblem *self, std::vector<int64_t> shape, int64_t elementBytes,
             const DeviceTiles &source, const DeviceTiles &target, int64_t devicesPerNode,
             Link intraNode, Link interNode) {
            new (self) TransferProblem{std::move(shape),
                                       elementBytes,
                                       toTiles(source),
                                       toTiles(target),
                                       {devicesPerNode, intraNode, interNode}};
          },
          nb::kw_only(), nb::arg("shape"), nb::arg("element_bytes"), nb::arg("source"),
          nb::arg("target"), nb::arg("devices_per_node"), nb::arg("intra_node"),
          nb::arg("inter_node"))
      .def("check", &TransferProblem::check)
      .def("slices", &findSlices)
      .def(
          "plan",
          [](const TransferProblem &problem, int64_t maxParts, int64_t maxSearchStates) {
            return planTransfer(problem, {maxParts, maxSearchStates});
          },
          nb::arg("max_parts") = TransferOptions().maxParts,
          nb::arg("max_search_states") = TransferOptions().maxSearchStates,
          nb::call_guard<nb::gil_scoped_release>())
      .def(
          "time",
          [](const TransferProblem &problem, const std::vector<Slice> &slices,
             std::vector<Send> sends) {
            double makespan = timeSends(problem, slices, sends);
            return std::make_pair(std::move(sends), makespan);
          },
          nb::arg("slices"), nb::arg("sends"),
          "The sends in this order, each as soon as it can begin; and when the last arrives.")
      .def("verify", &verifyTransfer, nb::arg("plan"));
}

} // namespace

void bindTransfer(nb::module_ &m) {
  bindTransferPlan(m);
  bindTransferProblem(m);
}
