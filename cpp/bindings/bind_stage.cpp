// Binds the stage problem and its solver.

#include "core/stages/StageDp.h"
#include "core/stages/StageProblem.h"
#include "native.h"
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

namespace nb = nanobind;
using namespace alpa;

namespace {

void bindStageInputs(nb::module_ &m) {
  nb::enum_<ScheduleKind>(m, "ScheduleKind", "The pipeline schedules the planner knows.")
      .value("GPIPE", ScheduleKind::GPipe)
      .value("ONE_F_ONE_B", ScheduleKind::OneFOneB)
      .value("EAGER_ONE_F_ONE_B", ScheduleKind::EagerOneFOneB)
      .value("INFERENCE", ScheduleKind::Inference);
  m.def("max_in_flight", &maxInFlight, nb::arg("kind"), nb::arg("stages_to_end"),
        nb::arg("num_microbatches"), "How many microbatches a stage holds activations of at most.");

  nb::class_<Submesh>(m, "Submesh", "Whole nodes, or part of one.")
      .def(nb::init<int32_t, int32_t>(), nb::arg("num_nodes"), nb::arg("devices_per_node"))
      .def_ro("num_nodes", &Submesh::numNodes)
      .def_ro("devices_per_node", &Submesh::devicesPerNode)
      .def_prop_ro("num_devices", &Submesh::numDevices);

  nb::class_<StageCandidate>(m, "StageCandidate",
                             "One way to run layers [first_layer, end_layer) as a stage.")
      .def(nb::init<int32_t, int32_t, int32_t, double, double, int64_t, int64_t, int64_t>(),
           nb::kw_only(), nb::arg("first_layer"), nb::arg("end_layer"), nb::arg("submesh"),
           nb::arg("compute_seconds"), nb::arg("update_seconds") = 0.0,
           nb::arg("resident_bytes") = 0, nb::arg("activation_bytes") = 0,
           nb::arg("update_bytes") = 0)
      .def_ro("first_layer", &StageCandidate::firstLayer)
      .def_ro("end_layer", &StageCandidate::endLayer)
      .def_ro("submesh", &StageCandidate::submesh)
      .def_ro("compute_seconds", &StageCandidate::computeSeconds)
      .def_ro("update_seconds", &StageCandidate::updateSeconds)
      .def_ro("resident_bytes", &StageCandidate::residentBytes)
      .def_ro("activation_bytes", &StageCandidate::activationBytes)
      .def_ro("update_bytes", &StageCandidate::updateBytes);
}

void bindStageProblem(nb::module_ &m) {
  nb::class_<StageEvaluation>(m, "StageEvaluation", "What a plan of stages costs.")
      .def_ro("latency_seconds", &StageEvaluation::latencySeconds)
      .def_ro("period_seconds", &StageEvaluation::periodSeconds)
      .def_ro("update_seconds", &StageEvaluation::updateSeconds)
      .def_ro("step_seconds", &StageEvaluation::stepSeconds)
      .def_ro("memory_bytes", &StageEvaluation::memoryBytes);

  nb::class_<StageProblem>(m, "StageProblem",
                           "Cut layers into stages and give each a submesh, for least step time.")
      .def(
          "__init__",
          [](StageProblem *self, int32_t numLayers, Submesh cluster, std::vector<Submesh> submeshes,
             std::vector<StageCandidate> candidates, std::vector<double> transferSeconds,
             int64_t memoryLimitBytes, int32_t numMicrobatches, ScheduleKind schedule) {
            new (self) StageProblem{numLayers,
                                    cluster,
                                    std::move(submeshes),
                                    std::move(candidates),
                                    std::move(transferSeconds),
                                    memoryLimitBytes,
                                    numMicrobatches,
                                    schedule};
          },
          nb::kw_only(), nb::arg("num_layers"), nb::arg("cluster"), nb::arg("submeshes"),
          nb::arg("candidates"), nb::arg("transfer_seconds") = std::vector<double>(),
          nb::arg("memory_limit_bytes"), nb::arg("num_microbatches"), nb::arg("schedule"))
      .def_ro("num_layers", &StageProblem::numLayers)
      .def_ro("cluster", &StageProblem::cluster)
      .def_ro("submeshes", &StageProblem::submeshes)
      .def_ro("memory_limit_bytes", &StageProblem::memoryLimitBytes)
      .def_ro("num_microbatches", &StageProblem::numMicrobatches)
      .def_ro("schedule", &StageProblem::schedule)
      .def_prop_ro("num_candidates", [](const StageProblem &p) { return p.candidates.size(); })
      .def("candidate", [](const StageProblem &p, size_t index) { return p.candidates.at(index); })
      .def("check", &StageProblem::check)
      .def("evaluate", &StageProblem::evaluate, nb::arg("stages"))
      .def("place_stages", &StageProblem::placeStages, nb::arg("stages"))
      .def(
          "solve",
          [](const StageProblem &problem, double cutoff) -> std::optional<std::vector<int32_t>> {
            std::optional<StageSolution> solution = solveStages(problem, cutoff);
            return solution ? std::optional(solution->stages) : std::nullopt;
          },
          nb::arg("cutoff_seconds") = std::numeric_limits<double>::infinity(),
          nb::call_guard<nb::gil_scoped_release>(),
          "The candidates of the plan of least step time below the cutoff; None if there is none.");
}

} // namespace

void bindStage(nb::module_ &m) {
  bindStageInputs(m);
  bindStageProblem(m);
}
