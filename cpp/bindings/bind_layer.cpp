// Binds the layer problem, its solver, what repeats, and the minimum cuts that place backward ops.

#include "core/layers/LayerDp.h"
#include "core/layers/LayerProblem.h"
#include "core/layers/MinCut.h"
#include "core/layers/Repeats.h"
#include "native.h"
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

namespace nb = nanobind;
using namespace alpa;

void bindLayer(nb::module_ &m) {
  nb::class_<LayerOp>(m, "LayerOp", "One forward op.")
      .def(nb::init<double, bool, bool>(), nb::kw_only(), nb::arg("flops"),
           nb::arg("is_heavy") = true, nb::arg("may_start_layer") = true)
      .def_ro("flops", &LayerOp::flops)
      .def_ro("is_heavy", &LayerOp::isHeavy)
      .def_ro("may_start_layer", &LayerOp::mayStartLayer);
  nb::class_<LayerValue>(m, "LayerValue", "A value that crosses cuts up to its last reader.")
      .def(nb::init<int32_t, int32_t, int64_t>(), nb::kw_only(), nb::arg("producer"),
           nb::arg("last_reader"), nb::arg("bytes"))
      .def_ro("producer", &LayerValue::producer)
      .def_ro("last_reader", &LayerValue::lastReader)
      .def_ro("bytes", &LayerValue::bytes);
  nb::class_<LayerEvaluation>(m, "LayerEvaluation", "What a cut into layers costs.")
      .def_ro("crossing_bytes", &LayerEvaluation::crossingBytes)
      .def_ro("sum_of_squares", &LayerEvaluation::sumOfSquares)
      .def_ro("flops", &LayerEvaluation::flops);
  nb::class_<LayerProblem>(m, "LayerProblem",
                           "Cut ops into consecutive layers of even work with little between them.")
      .def(
          "__init__",
          [](LayerProblem *self, int32_t numLayers, std::vector<LayerOp> ops,
             std::vector<LayerValue> values, double maxLayerFlops) {
            new (self) LayerProblem{numLayers, std::move(ops), std::move(values), maxLayerFlops};
          },
          nb::kw_only(), nb::arg("num_layers"), nb::arg("ops"), nb::arg("values"),
          nb::arg("max_layer_flops"))
      .def_ro("num_layers", &LayerProblem::numLayers)
      .def_ro("ops", &LayerProblem::ops)
      .def_ro("values", &LayerProblem::values)
      .def_ro("max_layer_flops", &LayerProblem::maxLayerFlops)
      .def_prop_ro("total_flops", &LayerProblem::totalFlops)
      .def_prop_ro("most_layers", &LayerProblem::mostLayers)
      .def("check", &LayerProblem::check)
      .def("evaluate", &LayerProblem::evaluate, nb::arg("starts"))
      .def("solve", &solveLayers, "The first op of each layer; None if no cut keeps to the limits.")
      .def("least_max_layer_flops", &leastMaxLayerFlops,
           "The smallest limit on FLOPs with an answer; None if there is none.");

  nb::class_<Repeats>(m, "Repeats", "Consecutive blocks of ops, each like the next.")
      .def_ro("first", &Repeats::first)
      .def_ro("period", &Repeats::period)
      .def_ro("count", &Repeats::count);
  m.def("find_repeats", &findRepeats, nb::arg("kinds"), nb::arg("weights"),
        "The equal blocks with most weight.");

  nb::class_<MinCut>(m, "MinCut", "A directed graph; nodes 0 (source) and 1 (sink) are there.")
      .def(nb::init<>())
      .def("add_node", &MinCut::addNode)
      .def("add_edge", &MinCut::addEdge, nb::arg("from_node"), nb::arg("to_node"),
           nb::arg("capacity"))
      .def("source_side", &MinCut::sourceSide,
           "Whether each node is on the source's side of the largest minimum cut; call once.");
}
