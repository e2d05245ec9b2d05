// The dimension numbers of gathers and scatters, read and written as text.

#include "TextCursor.h"
#include "alpa/IR/Stablehlo.h"
#include "mlir/AsmParser/AsmParser.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/raw_ostream.h"

namespace alpa {
namespace {

/// How gather and scatter call the same things.
struct Spelling {
  const char *attribute, *opening, *window, *dropped, *batching, *indexBatching, *indexed;
};
constexpr Spelling kGather = {"dimension_numbers",     "#stablehlo.gather<",
                              "offset_dims",           "collapsed_slice_dims",
                              "operand_batching_dims", "start_indices_batching_dims",
                              "start_index_map"};
constexpr Spelling kScatter = {"scatter_dimension_numbers",   "#stablehlo.scatter<",
                               "update_window_dims",          "inserted_window_dims",
                               "input_batching_dims",         "scatter_indices_batching_dims",
                               "scatter_dims_to_operand_dims"};

const Spelling *spellingOf(mlir::Operation *op) {
  switch (kindOf(op)) {
  case OpKind::Gather:
    return &kGather;
  case OpKind::Scatter:
    return &kScatter;
  default:
    return nullptr;
  }
}

} // namespace

mlir::FailureOr<IndexedDims> indexedDims(mlir::Operation *op) {
  const Spelling *spelling = spellingOf(op);
  mlir::Attribute attr = spelling ? op->getAttr(spelling->attribute) : mlir::Attribute();
  if (!attr)
    return mlir::failure();
  std::string text = printed(attr);
  TextCursor cursor(text);
  llvm::StringMap<Dims> lists;
  cursor.list(spelling->opening, ">", [&] {
    Dims &list = lists[cursor.word()];
    cursor.expect("=");
    if (cursor.at("["))
      cursor.list("[", "]", [&] { list.push_back(cursor.integer()); });
    else
      list.push_back(cursor.integer());
  });
  const Dims vector = lists.lookup("index_vector_dim");
  if (cursor.failed() || vector.size() > 1)
    return mlir::failure();
  return IndexedDims{lists.lookup(spelling->window),   lists.lookup(spelling->dropped),
                     lists.lookup(spelling->batching), lists.lookup(spelling->indexBatching),
                     lists.lookup(spelling->indexed),  vector.empty() ? 0 : vector.front()};
}

void setIndexedDims(mlir::Operation *op, const IndexedDims &dims) {
  const Spelling *spelling = spellingOf(op);
  std::string text;
  llvm::raw_string_ostream stream(text);
  stream << spelling->opening;
  auto add = [&](const char *name, const Dims &list) {
    stream << name << " = [";
    llvm::interleaveComma(list, stream);
    stream << "], ";
  };
  add(spelling->window, dims.window);
  add(spelling->dropped, dims.dropped);
  if (!dims.batching.empty()) { // StableHLO prints them only then
    add(spelling->batching, dims.batching);
    add(spelling->indexBatching, dims.indexBatching);
  }
  add(spelling->indexed, dims.indexed);
  stream << "index_vector_dim = " << dims.indexVectorDim << ">";
  op->setAttr(spelling->attribute, mlir::parseAttribute(text, op->getContext()));
}

} // namespace alpa
