// Binds alpa::Module: parse, run passes, print.

#include "alpa/IR/ValueNames.h"
#include "bridge/Module.h"
#include "native.h"
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

namespace nb = nanobind;

namespace {

void bindValueNames(nb::module_ &m) {
  using alpa::ValueKind;
  nb::enum_<ValueKind>(m, "ValueKind", "What a value is to the step, as its name says.")
      .value("ARGUMENT", ValueKind::Argument)
      .value("RESULT", ValueKind::Result)
      .value("PROLOGUE", ValueKind::Prologue)
      .value("SUM", ValueKind::Sum)
      .value("MICROBATCH", ValueKind::Microbatch)
      .value("BETWEEN_STAGES", ValueKind::BetweenStages)
      .value("BETWEEN_UPDATES", ValueKind::BetweenUpdates);
  m.def("value_name", &alpa::valueName, nb::arg("kind"), nb::arg("number") = 0);
  m.def("value_number", &alpa::valueNumber, nb::arg("name"), nb::arg("kind"),
        "The number of a value of this kind; None if the name is that of another.");
}

} // namespace

void bindModule(nb::module_ &m) {
  bindValueNames(m);
  nb::class_<alpa::Diagnostic>(m, "Diagnostic")
      .def_ro("severity", &alpa::Diagnostic::severity)
      .def_ro("location", &alpa::Diagnostic::location)
      .def_ro("message", &alpa::Diagnostic::message)
      .def_ro("code", &alpa::Diagnostic::code);

  nb::class_<alpa::ValueSummary>(m, "ValueSummary")
      .def_ro("attributes", &alpa::ValueSummary::attributes)
      .def_ro("type", &alpa::ValueSummary::type)
      .def_ro("shape", &alpa::ValueSummary::shape)
      .def_ro("bytes", &alpa::ValueSummary::bytes);

  nb::class_<alpa::FunctionSummary>(m, "FunctionSummary")
      .def_ro("name", &alpa::FunctionSummary::name)
      .def_ro("attributes", &alpa::FunctionSummary::attributes)
      .def_ro("arguments", &alpa::FunctionSummary::arguments)
      .def_ro("results", &alpa::FunctionSummary::results);

  nb::class_<alpa::Module>(m, "Module")
      .def_static("parse", &alpa::Module::parse, nb::arg("text"), nb::arg("name") = "module",
                  nb::call_guard<nb::gil_scoped_release>())
      .def("clone", &alpa::Module::clone, nb::call_guard<nb::gil_scoped_release>())
      .def("only", &alpa::Module::only, nb::arg("function"),
           nb::call_guard<nb::gil_scoped_release>())
      .def("functions", &alpa::Module::functions, nb::call_guard<nb::gil_scoped_release>())
      .def("run", &alpa::Module::run, nb::arg("pipeline"), nb::call_guard<nb::gil_scoped_release>())
      .def("distinct_ops", &alpa::Module::distinctOps, nb::call_guard<nb::gil_scoped_release>(),
           "One op of each sort that has no sharding rule yet, as the text of a module.")
      .def("take_rules", &alpa::Module::takeRules, nb::arg("text"),
           nb::call_guard<nb::gil_scoped_release>(),
           "Gives every op the rule of its like in distinct_ops() with rules.")
      .def("has_loops", &alpa::Module::hasLoops)
      .def("num_layers", &alpa::Module::numLayers,
           "How many alpa-cluster-layers made; 0 before it.")
      .def("content_hash", &alpa::Module::contentHash, nb::call_guard<nb::gil_scoped_release>(),
           "SHA-256 of its text without locations.")
      .def("structure_key", &alpa::Module::structureKey, nb::call_guard<nb::gil_scoped_release>(),
           "As content_hash, equal for modules that do the same to different values of a step.")
      .def("function_keys", &alpa::Module::functionKeys, nb::call_guard<nb::gil_scoped_release>(),
           "As structure_key, of each function, in order, whatever its name and stage.")
      .def("text", &alpa::Module::text, nb::arg("with_locations") = false,
           nb::arg("with_data") = true, nb::call_guard<nb::gil_scoped_release>());
}
