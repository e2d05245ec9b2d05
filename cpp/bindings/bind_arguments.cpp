// What is looked for in the arguments of every call, where Python would take too long.

#include "native.h"

#include <algorithm>
#include <vector>

namespace nb = nanobind;

namespace {

/// Deeper containers, among them those that hold themselves, are left to JAX.
constexpr int kMaxDepth = 64;

/// The arrays of a pytree. Plain containers are walked here, others by `leavesOf`, which is
/// `jax.tree.leaves`.
class Arrays {
public:
  Arrays(nb::handle arrayType, nb::handle leavesOf)
      : arrayType(arrayType.ptr()), leavesOf(leavesOf) {}

  void add(PyObject *node, int depth = 0) {
    if (isArray(node)) {
      found.push_back(node);
    } else if (node == Py_None) {
      return;
    } else if (depth < kMaxDepth && PyDict_CheckExact(node)) {
      Py_ssize_t position = 0;
      PyObject *key = nullptr, *value = nullptr;
      while (PyDict_Next(node, &position, &key, &value))
        add(value, depth + 1);
    } else if (depth < kMaxDepth && PyTuple_Check(node)) {
      for (Py_ssize_t i = 0; i < PyTuple_Size(node); ++i)
        add(PyTuple_GetItem(node, i), depth + 1);
    } else if (depth < kMaxDepth && PyList_CheckExact(node)) {
      for (Py_ssize_t i = 0; i < PyList_Size(node); ++i)
        add(PyList_GetItem(node, i), depth + 1);
    } else {
      others.push_back(leavesOf(nb::borrow(node)));
      for (nb::handle leaf : nb::cast<nb::list>(others.back()))
        if (isArray(leaf.ptr()))
          found.push_back(leaf.ptr());
    }
  }

  bool haveRepeats() {
    std::sort(found.begin(), found.end());
    return std::adjacent_find(found.begin(), found.end()) != found.end();
  }

private:
  bool isArray(PyObject *node) const {
    return reinterpret_cast<PyObject *>(Py_TYPE(node)) == arrayType;
  }

  PyObject *arrayType;
  nb::handle leavesOf;
  std::vector<PyObject *> found;
  std::vector<nb::object> others; ///< keeps their leaves, and so the addresses, apart
};

bool hasRepeats(nb::handle tree, nb::handle arrayType, nb::handle leavesOf) {
  Arrays arrays(arrayType, leavesOf);
  arrays.add(tree.ptr());
  return arrays.haveRepeats();
}

} // namespace

void bindArguments(nb::module_ &m) {
  m.def("has_repeats", &hasRepeats, nb::arg("tree"), nb::arg("array_type"), nb::arg("leaves_of"),
        "Whether an object of `array_type` is more than once among the leaves of a pytree.");
}
