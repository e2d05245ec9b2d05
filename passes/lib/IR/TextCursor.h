// Reads the printed text of an attribute from left to right. The first mismatch is remembered and
// everything after it is a no-op, so a parser reads straight through and asks once, at the end,
// whether all went well.
#pragma once

#include "mlir/IR/Attributes.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/raw_ostream.h"
#include <string>

namespace alpa {

/// The text of an attribute, the same for an opaque attribute and for a registered one.
inline std::string printed(mlir::Attribute attr) {
  std::string text;
  llvm::raw_string_ostream(text) << attr;
  return text;
}

class TextCursor {
public:
  explicit TextCursor(llvm::StringRef text) : rest(text) {}

  bool failed() const { return !wanted.empty(); }
  /// "expected ']', got ', {}]>'", or empty.
  std::string error() const {
    return failed() ? "expected " + wanted + ", got '" + rest.str() + "'" : "";
  }
  void fail(llvm::Twine expected) {
    if (!failed())
      wanted = expected.str();
  }

  bool atEnd() {
    skipSpaces();
    return rest.empty();
  }
  bool at(llvm::StringRef token) {
    skipSpaces();
    return !failed() && rest.starts_with(token);
  }
  bool accept(llvm::StringRef token) {
    if (!at(token))
      return false;
    rest = rest.drop_front(token.size());
    return true;
  }
  void expect(llvm::StringRef token) {
    if (!accept(token))
      fail("'" + token + "'");
  }
  void expectEnd() {
    if (!atEnd())
      fail("the end of the attribute");
  }

  /// One character of the range, without skipping spaces before it.
  bool acceptLetter(char first, char last, char &letter) {
    if (failed() || rest.empty() || rest.front() < first || rest.front() > last)
      return false;
    letter = rest.front();
    rest = rest.drop_front();
    return true;
  }
  llvm::StringRef word() {
    skipSpaces();
    return take([](char c) { return llvm::isAlnum(c) || c == '_' || c == '-' || c == '.'; },
                "a name");
  }
  int64_t integer() {
    skipSpaces();
    int64_t value = 0;
    if (!failed() && rest.consumeInteger(10, value))
      fail("an integer");
    return value;
  }
  /// A name in double quotes.
  std::string quoted() {
    expect("\"");
    std::string name = take([](char c) { return c != '"'; }, "a name").str();
    expect("\"");
    return name;
  }

  /// `open` item `,` item ... `close`.
  void list(llvm::StringRef open, llvm::StringRef close, llvm::function_ref<void()> item) {
    expect(open);
    if (accept(close))
      return;
    do
      item();
    while (accept(","));
    expect(close);
  }

private:
  void skipSpaces() { rest = rest.ltrim(); }
  llvm::StringRef take(llvm::function_ref<bool(char)> belongs, llvm::StringRef expected) {
    if (failed())
      return {};
    llvm::StringRef taken = rest.take_while(belongs);
    if (taken.empty())
      fail(expected);
    rest = rest.drop_front(taken.size());
    return taken;
  }

  llvm::StringRef rest;
  std::string wanted;
};

} // namespace alpa
