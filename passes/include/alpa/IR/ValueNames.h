// Names of the values of a step that was cut into stages (`alpa.value`), made and read here alone.
// Plain C++, for Python tells values apart by them as well.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace alpa {

/// What a value is to the step.
enum class ValueKind {
  Argument,   ///< "a3": argument 3 of @main; of a batch, its microbatch
  Result,     ///< "r1": result 1 of @main
  Prologue,   ///< "p0": what the prologue makes
  Sum,        ///< "s2": what a microbatch adds to frontier value 2; to an update, the whole of it
  Microbatch, ///< "index": the number of the microbatch
  BetweenStages,  ///< "v7": any other value that a forward or backward leaves to another
  BetweenUpdates, ///< "u7": that an update leaves to another
};

/// `number` counts the values of the kind; of the microbatch there is one.
std::string valueName(ValueKind kind, int64_t number = 0);

/// "stage0.v1": what phases of a stage leave to one another once its shardings are chosen.
std::string valueNameWithinStage(int64_t stage, int64_t number);

/// The number of a value of this kind; none if the name is that of another.
std::optional<int64_t> valueNumber(std::string_view name, ValueKind kind);

} // namespace alpa
