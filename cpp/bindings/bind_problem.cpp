// Binds the sharding problem and what its solvers work on. Arrays are numpy views of the C++
// object's own memory.

#include "core/sharding/ShardingProblem.h"
#include "core/sharding/StandIn.h"
#include "core/sharding/reductions/Reduction.h"
#include "core/sharding/reductions/TieNodes.h"
#include "core/sharding/search/AnytimeSolver.h"
#include "native.h"
#include <nanobind/ndarray.h>
#include <nanobind/stl/function.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

namespace nb = nanobind;
using namespace alpa;

namespace {

/// A read-only view of a vector member; the array keeps the object alive.
template <typename T, typename Owner> auto view(std::vector<T> Owner::*member) {
  return [member](nb::handle self) {
    const std::vector<T> &values = nb::cast<const Owner &>(self).*member;
    return nb::ndarray<nb::numpy, const T, nb::ndim<1>>(values.data(), {values.size()}, self);
  };
}

void bindShardingProblem(nb::module_ &m) {
  nb::class_<Evaluation>(m, "Evaluation",
                         "What a choice of strategies costs and uses, in exact integers.")
      .def_ro("cost", &Evaluation::cost)
      .def_ro("num_forbidden", &Evaluation::numForbidden)
      .def_ro("peak_usage", &Evaluation::peakUsage)
      .def_ro("peak_time", &Evaluation::peakTime)
      .def_prop_ro("is_feasible", &Evaluation::feasible);

  nb::class_<ShardingProblem>(m, "ShardingProblem",
                              "IOPDDL's problem: one strategy per node, costs, memory limit.")
      .def(nb::init<>())
      .def_rw("name", &ShardingProblem::name)
      .def_rw("usage_limit", &ShardingProblem::usageLimit, nb::arg().none())
      .def_prop_ro("num_nodes", [](const ShardingProblem &p) { return p.nodes.size(); })
      .def_prop_ro("num_edges", [](const ShardingProblem &p) { return p.edges.size(); })
      .def(
          "add_node",
          [](ShardingProblem &p, std::pair<int64_t, int64_t> interval, std::vector<int64_t> costs,
             std::vector<int64_t> usages) {
            return p.addNode({interval.first, interval.second}, std::move(costs),
                             std::move(usages));
          },
          nb::arg("interval"), nb::arg("costs"), nb::arg("usages"))
      .def("add_edge", &ShardingProblem::addEdge, nb::arg("first"), nb::arg("second"),
           nb::arg("costs"))
      .def("check", &ShardingProblem::check)
      .def("evaluate", &ShardingProblem::evaluate, nb::arg("choices"))
      .def_prop_ro("busiest_time", &ShardingProblem::busiestTime)
      .def("among", &ShardingProblem::among, nb::arg("answers"),
           "With no strategies but those that nodes have in one of these answers.")
      .def("priced", &ShardingProblem::priced, nb::arg("price"), nb::arg("time"),
           "Without a limit; every byte used at `time` costs `price` more.")
      .def_static(
          "from_json",
          [](nb::bytes text) { return ShardingProblem::fromJson({text.c_str(), text.size()}); },
          nb::arg("text"))
      .def("to_json", &ShardingProblem::toJson)
      .def("node_costs",
           [](const ShardingProblem &p, size_t node) { return p.nodes.at(node).costs; })
      .def("node_usages",
           [](const ShardingProblem &p, size_t node) { return p.nodes.at(node).usages; })
      .def("node_interval",
           [](const ShardingProblem &p, size_t node) {
             Interval interval = p.nodes.at(node).interval;
             return std::make_pair(interval.begin, interval.end);
           })
      .def("edge_costs",
           [](const ShardingProblem &p, size_t edge) { return p.edges.at(edge).costs; })
      .def("edge_nodes", [](const ShardingProblem &p, size_t edge) {
        return std::make_pair(p.edges.at(edge).first, p.edges.at(edge).second);
      });
}

void bindCoreProblem(nb::module_ &m) {
  nb::class_<CoreProblem>(m, "CoreProblem", "A reduced sharding problem as flat arrays.")
      .def_ro("constant_cost", &CoreProblem::constantCost)
      .def_prop_ro("node_offsets", view(&CoreProblem::nodeOffsets))
      .def_prop_ro("node_costs", view(&CoreProblem::nodeCosts))
      .def_prop_ro("edge_first", view(&CoreProblem::edgeFirst))
      .def_prop_ro("edge_second", view(&CoreProblem::edgeSecond))
      .def_prop_ro("edge_offsets", view(&CoreProblem::edgeOffsets))
      .def_prop_ro("edge_costs", view(&CoreProblem::edgeCosts))
      .def_prop_ro("row_capacities", view(&CoreProblem::rowCapacities))
      .def_prop_ro("row_times", view(&CoreProblem::rowTimes))
      .def_prop_ro("segment_node", view(&CoreProblem::segmentNode))
      .def_prop_ro("segment_begin", view(&CoreProblem::segmentBegin))
      .def_prop_ro("segment_end", view(&CoreProblem::segmentEnd))
      .def_prop_ro("segment_offsets", view(&CoreProblem::segmentOffsets))
      .def_prop_ro("segment_usages", view(&CoreProblem::segmentUsages));

  nb::class_<ReducibleProblem>(
      m, "ReducibleProblem",
      "A sharding problem that reductions rewrite, and the trail that maps answers back.")
      .def(nb::init<const ShardingProblem &, int64_t>(), nb::arg("problem"),
           nb::arg("ceiling") = kForbiddenCost, nb::call_guard<nb::gil_scoped_release>())
      .def("reduce", &reduce, nb::arg("names") = std::vector<std::string>(),
           nb::call_guard<nb::gil_scoped_release>())
      .def("tie_nodes", &tieNodes, nb::arg("classes"), nb::call_guard<nb::gil_scoped_release>())
      .def_prop_ro("is_infeasible", &ReducibleProblem::isInfeasible)
      .def("core", &ReducibleProblem::core, nb::call_guard<nb::gil_scoped_release>())
      .def("core_nodes", &ReducibleProblem::coreNodes)
      .def("expand", &ReducibleProblem::expand, nb::arg("core_choices"));
  m.def("find_identical_nodes", &findIdenticalNodes, nb::arg("problem"), nb::arg("radius"),
        nb::call_guard<nb::gil_scoped_release>());
  m.def("find_stand_in", &findStandIn, nb::arg("problem"),
        nb::call_guard<nb::gil_scoped_release>());
  m.def("find_unsummable", &findUnsummable, nb::arg("problem"),
        nb::call_guard<nb::gil_scoped_release>());
  m.def("reduction_names", &reductionNames);
  m.attr("BLOCKED_COST") = kBlocked;
  m.attr("FORBIDDEN_COST") = kForbiddenCost;
}

void bindAnytimeSolver(nb::module_ &m) {
  nb::class_<AnytimeResult>(m, "AnytimeResult",
                            "The best answer of a core so far, and a bound on all answers.")
      .def_ro("choices", &AnytimeResult::choices)
      .def_ro("cost", &AnytimeResult::cost)
      .def_ro("lower_bound", &AnytimeResult::lowerBound);

  m.def(
      "solve_core",
      [](const CoreProblem &core, double timeLimitSeconds, int64_t workLimit, int64_t patience,
         int32_t numThreads, uint64_t seed, double stopGap, int64_t cutoff,
         std::function<bool(const std::string &, const AnytimeResult &)> onProgress) {
        AnytimeOptions options{seed,    numThreads, workLimit, patience, timeLimitSeconds,
                               stopGap, cutoff};
        auto report = [&](const std::string &phase, const AnytimeResult &result) {
          nb::gil_scoped_acquire gil;
          return onProgress(phase, result);
        };
        nb::gil_scoped_release release;
        return AnytimeSolver(core, options, report).solve();
      },
      nb::arg("core"), nb::kw_only(), nb::arg("time_limit_seconds"), nb::arg("work_limit"),
      nb::arg("patience"), nb::arg("num_threads"), nb::arg("seed"), nb::arg("stop_gap"),
      nb::arg("cutoff"), nb::arg("on_progress"),
      "Searches until optimal or a limit is reached. `on_progress(phase, result)` returns whether "
      "to go on.");
}

} // namespace

void bindProblem(nb::module_ &m) {
  bindShardingProblem(m);
  bindCoreProblem(m);
  bindAnytimeSolver(m);
}
