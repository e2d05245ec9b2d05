// What the arguments of a training step are to it.
#pragma once

#include "alpa/Analysis/Meetings.h"

namespace alpa {

/// What an argument of the program is to it.
///
/// A state argument (`alpa.state`: the program returns its next value) of floating type is a
/// Parameter if the batch meets it; so is one whose gradient is returned (`alpa.gradient`). Weights
/// do so in the forward pass, moments of an optimizer, step counts and running averages never do:
/// they meet only sums over examples. Every other state argument is OptimizerState (so is a PRNG
/// key, for it is no number to train). Nothing is a Parameter where no argument is a batch.
enum class ArgumentRole { Parameter, OptimizerState, Batch, Other };

/// The role of each argument of the function.
std::vector<ArgumentRole> argumentRoles(const OpGraph &graph, const Meetings &meetings);

} // namespace alpa
