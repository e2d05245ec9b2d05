// IOPDDL's JSON, read in one pass over the text. A 90 MB instance is almost only digits, so the
// reader goes straight into the problem's vectors and builds no document.

#include "core/sharding/ShardingProblem.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <stdexcept>

namespace alpa {
namespace {

class Reader {
public:
  explicit Reader(std::string_view text)
      : begin(text.data()), at(begin), end(begin + text.size()) {}

  [[noreturn]] void fail(const std::string &expected) const {
    throw std::invalid_argument("JSON, byte " + std::to_string(at - begin) + ": expected " +
                                expected + ", got " + found());
  }

  bool tryConsume(char c) {
    skipSpace();
    if (at == end || *at != c)
      return false;
    ++at;
    return true;
  }
  void consume(char c) {
    if (!tryConsume(c))
      fail(std::string("'") + c + "'");
  }

  /// Calls `readValue(key)` for each member; it must consume the value.
  template <typename ReadValue> void object(ReadValue readValue) {
    consume('{');
    if (tryConsume('}'))
      return;
    do {
      std::string key = string();
      consume(':');
      readValue(key);
    } while (tryConsume(','));
    consume('}');
  }

  /// Calls `readItem()` for each item; it must consume the item.
  template <typename ReadItem> void array(ReadItem readItem) {
    consume('[');
    if (tryConsume(']'))
      return;
    do
      readItem();
    while (tryConsume(','));
    consume(']');
  }

  int64_t integer() {
    skipSpace();
    int64_t value = 0;
    auto [next, error] = std::from_chars(at, end, value);
    if (error == std::errc::invalid_argument)
      fail("an integer");
    bool isFloat = next != end && (*next == '.' || *next == 'e' || *next == 'E');
    if (isFloat)
      return integerFromFloat();
    if (error == std::errc::result_out_of_range)
      fail("an integer below 2^63");
    at = next;
    return value;
  }

  std::vector<int64_t> integers() {
    std::vector<int64_t> values;
    array([&] { values.push_back(integer()); });
    return values;
  }

  std::pair<int64_t, int64_t> pair() {
    consume('[');
    int64_t first = integer();
    consume(',');
    int64_t second = integer();
    consume(']');
    return {first, second};
  }

  std::string string() {
    consume('"');
    std::string value;
    while (at != end && *at != '"') {
      if (*at == '\\' && ++at == end)
        break;
      value.push_back(*at++); // the few names we read need no decoded escapes
    }
    if (at == end)
      fail("'\"'");
    ++at;
    return value;
  }

  void skipValue(int depth = 0) {
    constexpr int kMaxDepth = 64;
    if (depth > kMaxDepth)
      fail("at most " + std::to_string(kMaxDepth) + " nested values");
    skipSpace();
    if (at == end)
      fail("a value");
    if (*at == '{')
      return object([&](const std::string &) { skipValue(depth + 1); });
    if (*at == '[')
      return array([&] { skipValue(depth + 1); });
    if (*at == '"') {
      string();
      return;
    }
    for (std::string_view word : {"true", "false", "null"})
      if (std::string_view(at, end - at).substr(0, word.size()) == word) {
        at += word.size();
        return;
      }
    number();
  }

  bool tryNull() {
    skipSpace();
    if (std::string_view(at, end - at).substr(0, 4) != "null")
      return false;
    at += 4;
    return true;
  }

  void finish() {
    skipSpace();
    if (at != end)
      fail("the end");
  }

private:
  std::string found() const {
    if (at == end)
      return "the end";
    auto byte = static_cast<unsigned char>(*at);
    if (byte >= ' ' && byte < 0x7f)
      return "'" + std::string(1, *at) + "'";
    char text[16];
    std::snprintf(text, sizeof(text), "byte 0x%02x", byte);
    return text;
  }

  void skipSpace() {
    while (at != end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r'))
      ++at;
  }

  double number() {
    double value = 0;
    auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc())
      fail("a number");
    at = next;
    return value;
  }

  /// Some writers print the forbidden cost as 1e18 or 1e+18.
  int64_t integerFromFloat() {
    const char *start = at;
    double value = number();
    if (std::floor(value) == value && std::abs(value) < 9e18)
      return static_cast<int64_t>(value);
    at = start;
    fail("an integer below 2^63");
  }

  const char *begin, *at, *end;
};

int32_t nodeIndex(int64_t value) {
  // Out of range stays out of range: `check` names the edge.
  return value >= 0 && value <= INT32_MAX ? static_cast<int32_t>(value) : -1;
}

template <typename T> T &itemAt(std::vector<T> &items, size_t index) {
  if (index >= items.size())
    items.resize(index + 1);
  return items[index];
}

/// Keys that an object must have, each once: what is missing or repeated would go unnoticed.
class RequiredKeys {
public:
  explicit RequiredKeys(std::vector<std::string> keys) : missing(std::move(keys)) {}

  void take(Reader &reader, const std::string &key) {
    auto found = std::find(missing.begin(), missing.end(), key);
    if (found == missing.end())
      reader.fail("\"" + key + "\" once");
    missing.erase(found);
  }

  void finish(Reader &reader) const {
    if (!missing.empty())
      reader.fail("\"" + missing.front() + "\" before the end of its object");
  }

private:
  std::vector<std::string> missing;
};

/// Each of the arrays of a group describes the same items. A shorter one would go unnoticed
/// otherwise.
class ArrayGroup {
public:
  explicit ArrayGroup(std::vector<std::string> keys) : keys(std::move(keys)) {}

  void take(Reader &reader, const std::string &key, size_t count) {
    keys.take(reader, key);
    if (expected && count != *expected)
      reader.fail(std::to_string(*expected) + " items in \"" + key + "\" but read " +
                  std::to_string(count));
    expected = count;
  }

  void finish(Reader &reader) const { keys.finish(reader); }

private:
  RequiredKeys keys;
  std::optional<size_t> expected;
};

void readNodes(Reader &reader, std::vector<ShardingNode> &nodes) {
  ArrayGroup arrays({"intervals", "costs", "usages"});
  reader.object([&](const std::string &key) {
    size_t i = 0;
    if (key == "intervals")
      reader.array([&] {
        auto [begin, end] = reader.pair();
        itemAt(nodes, i++).interval = {begin, end};
      });
    else if (key == "costs")
      reader.array([&] { itemAt(nodes, i++).costs = reader.integers(); });
    else if (key == "usages")
      reader.array([&] { itemAt(nodes, i++).usages = reader.integers(); });
    else
      return reader.skipValue();
    arrays.take(reader, key, i);
  });
  arrays.finish(reader);
}

void readEdges(Reader &reader, std::vector<ShardingEdge> &edges) {
  ArrayGroup arrays({"nodes", "costs"});
  reader.object([&](const std::string &key) {
    size_t i = 0;
    if (key == "nodes")
      reader.array([&] {
        auto [first, second] = reader.pair();
        ShardingEdge &edge = itemAt(edges, i++);
        edge.first = nodeIndex(first);
        edge.second = nodeIndex(second);
      });
    else if (key == "costs")
      reader.array([&] { itemAt(edges, i++).costs = reader.integers(); });
    else
      return reader.skipValue();
    arrays.take(reader, key, i);
  });
  arrays.finish(reader);
}

void readProblem(Reader &reader, ShardingProblem &problem) {
  RequiredKeys keys({"nodes", "edges"});
  reader.object([&](const std::string &key) {
    if (key == "nodes" || key == "edges")
      keys.take(reader, key);
    if (key == "name")
      problem.name = reader.string();
    else if (key == "nodes")
      readNodes(reader, problem.nodes);
    else if (key == "edges")
      readEdges(reader, problem.edges);
    else if (key == "usage_limit" && !reader.tryNull())
      problem.usageLimit = reader.integer();
    else if (key != "usage_limit")
      reader.skipValue();
  });
  keys.finish(reader);
}

class Writer {
public:
  std::string text;

  void integer(int64_t value) {
    char digits[24];
    text.append(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
  }
  void pair(int64_t first, int64_t second) {
    text += '[';
    integer(first);
    text += ',';
    integer(second);
    text += ']';
  }
  void string(const std::string &value) {
    text += '"';
    for (char c : value) {
      if (c == '"' || c == '\\')
        text += '\\';
      text += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    }
    text += '"';
  }
  template <typename Items, typename WriteItem>
  void array(const Items &items, WriteItem writeItem) {
    text += '[';
    bool isFirst = true;
    for (const auto &item : items) {
      if (!isFirst)
        text += ',';
      isFirst = false;
      writeItem(item);
    }
    text += ']';
  }
  void integers(const std::vector<int64_t> &values) {
    array(values, [this](int64_t value) { integer(value); });
  }
};

} // namespace

ShardingProblem ShardingProblem::fromJson(std::string_view text) {
  ShardingProblem problem;
  Reader reader(text);
  bool isFound = false;
  reader.object([&](const std::string &key) {
    if (key != "problem")
      return reader.skipValue();
    isFound = true;
    readProblem(reader, problem);
  });
  reader.finish();
  if (!isFound)
    throw std::invalid_argument("JSON: expected a top-level object with the key \"problem\"");
  problem.check();
  return problem;
}

std::string ShardingProblem::toJson() const {
  Writer out;
  out.text = "{\"problem\":{\"name\":";
  out.string(name);
  out.text += ",\"nodes\":{\"intervals\":";
  out.array(nodes,
            [&](const ShardingNode &node) { out.pair(node.interval.begin, node.interval.end); });
  out.text += ",\"costs\":";
  out.array(nodes, [&](const ShardingNode &node) { out.integers(node.costs); });
  out.text += ",\"usages\":";
  out.array(nodes, [&](const ShardingNode &node) { out.integers(node.usages); });
  out.text += "},\"edges\":{\"nodes\":";
  out.array(edges, [&](const ShardingEdge &edge) { out.pair(edge.first, edge.second); });
  out.text += ",\"costs\":";
  out.array(edges, [&](const ShardingEdge &edge) { out.integers(edge.costs); });
  out.text += '}';
  if (usageLimit) {
    out.text += ",\"usage_limit\":";
    out.integer(*usageLimit);
  }
  out.text += "}}";
  return std::move(out.text);
}

} // namespace alpa
