// Binds the simulator of steps.

#include "core/simulate/StepSimulator.h"
#include "native.h"
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <tuple>

namespace nb = nanobind;
using namespace alpa;

namespace {

TransferRoute makeRoute(double latencySeconds,
                        const std::vector<std::pair<int32_t, double>> &loads) {
  TransferRoute route{latencySeconds, {}};
  for (auto [link, share] : loads)
    route.loads.push_back({link, share});
  return route;
}

std::vector<std::pair<double, double>> taskTimes(const SimulatedStep &step) {
  std::vector<std::pair<double, double>> times;
  for (const TaskTime &time : step.tasks)
    times.emplace_back(time.startSeconds, time.endSeconds);
  return times;
}

std::vector<std::tuple<double, double, double>> transferTimes(const SimulatedStep &step) {
  std::vector<std::tuple<double, double, double>> times;
  for (const TransferTime &time : step.transfers)
    times.emplace_back(time.readySeconds, time.startSeconds, time.endSeconds);
  return times;
}

std::vector<std::tuple<int32_t, double, double, double>> pieces(const SimulatedStep &step) {
  std::vector<std::tuple<int32_t, double, double, double>> pieces;
  for (const TransferPiece &piece : step.pieces)
    pieces.emplace_back(piece.transfer, piece.startSeconds, piece.endSeconds, piece.speed);
  return pieces;
}

} // namespace

void bindSimulate(nb::module_ &m) {
  nb::class_<StepTask>(m, "StepTask", "A task of a mesh, and what must have ended or arrived.")
      .def(nb::init<int32_t, double, std::vector<int32_t>, std::vector<int32_t>>(), nb::arg("mesh"),
           nb::arg("seconds"), nb::arg("after_tasks") = std::vector<int32_t>(),
           nb::arg("after_transfers") = std::vector<int32_t>());
  nb::class_<StepTransfer>(m, "StepTransfer", "What a task, or -1 for none, sends on a route.")
      .def(nb::init<int32_t, double, int32_t>(), nb::arg("route"), nb::arg("bytes"),
           nb::arg("after_task"));
  nb::class_<TransferRoute>(m, "TransferRoute",
                            "The links of a route, each with the share of the bytes it carries.")
      .def(
          "__init__",
          [](TransferRoute *self, double latencySeconds,
             const std::vector<std::pair<int32_t, double>> &loads) {
            new (self) TransferRoute(makeRoute(latencySeconds, loads));
          },
          nb::arg("latency_seconds"), nb::arg("loads"));
  nb::class_<SimulatedStep>(m, "SimulatedStep", "A step on a clock, in seconds.")
      .def_prop_ro("tasks", &taskTimes, "Start and end.")
      .def_prop_ro("transfers", &transferTimes, "Ready, start and end.")
      .def_prop_ro("pieces", &pieces, "Transfer, start, end and speed.")
      .def_ro("waiting_tasks", &SimulatedStep::waitingTasks);
  m.def(
      "simulate_step",
      [](int32_t numMeshes, std::vector<StepTask> tasks, std::vector<StepTransfer> transfers,
         std::vector<TransferRoute> routes, std::vector<double> linkBytesPerSecond) {
        nb::gil_scoped_release released;
        return simulateStep({numMeshes, std::move(tasks), std::move(transfers), std::move(routes),
                             std::move(linkBytesPerSecond)});
      },
      nb::arg("num_meshes"), nb::arg("tasks"), nb::arg("transfers"), nb::arg("routes"),
      nb::arg("link_bytes_per_second"));
}
