// Binds alpa::runOpt. jaxlib's part is a Python object with the methods read, write and transform;
// each returns text, or a list of (severity, location, message).

#include "native.h"
#include "opt/Opt.h"
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>
#include <stdexcept>
#include <tuple>
#include <utility>

namespace nb = nanobind;
using namespace nb::literals;

namespace {

alpa::HostAnswer answer(const nb::object &result) {
  if (nb::isinstance<nb::str>(result))
    return {nb::cast<std::string>(result), {}};
  if (nb::isinstance<nb::bytes>(result)) {
    auto bytes = nb::cast<nb::bytes>(result);
    return {std::string(bytes.c_str(), bytes.size()), {}};
  }
  alpa::HostAnswer failed;
  using Entry = std::tuple<std::string, std::string, std::string>;
  for (auto &[severity, location, message] : nb::cast<std::vector<Entry>>(result))
    failed.diagnostics.push_back({severity, location, message});
  return failed;
}

nb::bytes bytes(std::string_view text) { return nb::bytes(text.data(), text.size()); }

alpa::DialectHost hostOf(const nb::object &python) {
  alpa::DialectHost host;
  host.read = [python](std::string_view source, const std::string &fileName, bool allow) {
    return answer(python.attr("read")(bytes(source), fileName, allow));
  };
  host.write = [python](std::string_view generic, const alpa::OutputForm &form) {
    return answer(python.attr("write")(bytes(generic), form));
  };
  host.transform = [python](std::string_view generic, const std::string &pipeline) {
    return answer(python.attr("transform")(bytes(generic), pipeline));
  };
  return host;
}

} // namespace

void bindOpt(nb::module_ &m) {
  nb::class_<alpa::OutputForm>(m, "OutputForm")
      .def_ro("generic", &alpa::OutputForm::generic)
      .def_ro("debug_info", &alpa::OutputForm::debugInfo)
      .def_ro("pretty_debug_info", &alpa::OutputForm::prettyDebugInfo)
      .def_ro("local_scope", &alpa::OutputForm::localScope)
      .def_ro("bytecode", &alpa::OutputForm::bytecode)
      .def_ro("bytecode_version", &alpa::OutputForm::bytecodeVersion)
      .def_ro("elide_elements_larger_than", &alpa::OutputForm::elideElementsLargerThan);

  // The GIL stays held: the host's functions need it, and the process does nothing else.
  m.def(
      "run_opt",
      [](const std::vector<std::string> &arguments, const std::string &hostVersion,
         const nb::object &host) {
        static bool called = false;
        if (std::exchange(called, true))
          throw std::logic_error(
              "expected one call of run_opt per process: LLVM's command line is global");
        return alpa::runOpt(arguments, hostVersion, hostOf(host));
      },
      "arguments"_a, "host_version"_a, "host"_a);
}
