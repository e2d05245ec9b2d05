// Binds the energy problem, its frontier, the assignment of frequencies and the replay of both.

#include "core/energy/Assignment.h"
#include "core/energy/EnergyReplay.h"
#include "native.h"
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

namespace nb = nanobind;
using namespace alpa;

namespace {

void bindEnergyInputs(nb::module_ &m) {
  nb::enum_<Relaxation>(m, "Relaxation", "How measured choices become a convex curve.")
      .value("EXPONENTIAL", Relaxation::Exponential)
      .value("HULL", Relaxation::Hull);
  nb::enum_<Horizon>(m, "Horizon", "Until when devices draw blocking power.")
      .value("MAKESPAN", Horizon::Makespan)
      .value("DEADLINE", Horizon::Deadline);
  nb::class_<FrequencyChoice>(m, "FrequencyChoice", "One way to run a computation, as measured.")
      .def(nb::init<double, double, double>(), nb::arg("megahertz"), nb::arg("seconds"),
           nb::arg("joules"))
      .def_ro("megahertz", &FrequencyChoice::megahertz)
      .def_ro("seconds", &FrequencyChoice::seconds)
      .def_ro("joules", &FrequencyChoice::joules);
  nb::class_<ComputationKind>(m, "ComputationKind", "What computations have in common.")
      .def(nb::init<std::string, std::vector<FrequencyChoice>, bool>(), nb::arg("name"),
           nb::arg("choices"), nb::arg("is_fixed") = false)
      .def_ro("name", &ComputationKind::name)
      .def_ro("choices", &ComputationKind::choices)
      .def_ro("is_fixed", &ComputationKind::isFixed);
  nb::class_<Computation>(m, "Computation", "A node of the DAG; device -1 is a link.")
      .def(nb::init<int32_t, int32_t>(), nb::arg("kind"), nb::arg("device"))
      .def_ro("kind", &Computation::kind)
      .def_ro("device", &Computation::device);
}

void bindFrontier(nb::module_ &m) {
  nb::class_<CostCurve>(m, "CostCurve", "Effective joules by whole units of time.")
      .def_ro("min_units", &CostCurve::minUnits)
      .def_prop_ro("max_units", &CostCurve::maxUnits)
      .def_ro("joules", &CostCurve::joules);
  nb::class_<TradeoffFrontier>(m, "TradeoffFrontier", "Least cost for every length of the step.")
      .def_ro("slowest_units", &TradeoffFrontier::slowestUnits)
      .def("__len__", &TradeoffFrontier::size)
      .def_ro("joules", &TradeoffFrontier::joules)
      .def("units_at", &TradeoffFrontier::unitsAt, nb::arg("point"));
  nb::class_<EnergyReplay>(m, "EnergyReplay", "A plan on a clock.")
      .def_ro("start_seconds", &EnergyReplay::startSeconds)
      .def_ro("makespan_seconds", &EnergyReplay::makespanSeconds)
      .def_ro("joules", &EnergyReplay::joules);
  nb::class_<Assignment>(m, "Assignment", "A choice of frequency for every computation.")
      .def_ro("choices", &Assignment::choices)
      .def_ro("makespan_seconds", &Assignment::makespanSeconds)
      .def_ro("effective_joules", &Assignment::effectiveJoules)
      .def_ro("is_optimal", &Assignment::isOptimal);
}

void bindEnergyProblem(nb::module_ &m) {
  nb::class_<EnergyProblem>(m, "EnergyProblem",
                            "Computations whose frequency trades seconds for joules.")
      .def(nb::init<std::vector<ComputationKind>, std::vector<Computation>,
                    std::vector<std::pair<int32_t, int32_t>>, std::vector<double>, double>(),
           nb::kw_only(), nb::arg("kinds"), nb::arg("computations"), nb::arg("dependencies"),
           nb::arg("blocking_watts"), nb::arg("unit_seconds"))
      .def_ro("kinds", &EnergyProblem::kinds)
      .def_ro("computations", &EnergyProblem::computations)
      .def_ro("dependencies", &EnergyProblem::dependencies)
      .def_ro("blocking_watts", &EnergyProblem::blockingWatts)
      .def_ro("unit_seconds", &EnergyProblem::unitSeconds)
      .def_prop_ro("total_blocking_watts", &EnergyProblem::totalBlockingWatts)
      .def("check", &EnergyProblem::check)
      .def("curves", &costCurves, nb::arg("relaxation"))
      .def(
          "solve",
          [](const EnergyProblem &problem, Relaxation relaxation) {
            return solveTradeoff(problem, costCurves(problem, relaxation));
          },
          nb::arg("relaxation"), nb::call_guard<nb::gil_scoped_release>())
      .def(
          "verify",
          [](const EnergyProblem &problem, Relaxation relaxation,
             const TradeoffFrontier &frontier) {
            verifyFrontier(problem, costCurves(problem, relaxation), frontier);
          },
          nb::arg("relaxation"), nb::arg("frontier"), nb::call_guard<nb::gil_scoped_release>())
      .def("round", &roundToChoices, nb::arg("units"))
      .def("fastest", &fastestChoices)
      .def("assign", &assignChoices, nb::arg("start"), nb::arg("deadline_seconds"),
           nb::arg("horizon"), nb::call_guard<nb::gil_scoped_release>())
      .def("replay", &replayEnergy, nb::arg("choices"));
}

} // namespace

void bindEnergy(nb::module_ &m) {
  bindEnergyInputs(m);
  bindFrontier(m);
  bindEnergyProblem(m);
}
