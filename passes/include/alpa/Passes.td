// Every pass: what it needs, what it leaves, before ==> after, options. A file per folder of lib, in the order in which
// a program meets them; docs/passes.md is generated from them, in this order.

#ifndef ALPA_PASSES
#define ALPA_PASSES

include "Normalize/Passes.td"
include "Pipeline/Loops/Passes.td"
include "Analysis/Passes.td"
include "Pipeline/Microbatches/Passes.td"
include "Pipeline/Layers/Passes.td"
include "Pipeline/Stages/Passes.td"
include "Sharding/Passes.td"
include "Verify/Passes.td"

#endif
