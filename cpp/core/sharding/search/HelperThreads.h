// One task on several threads.
#pragma once

#include <cstdint>
#include <functional>

namespace alpa {

/// Runs `task` on up to `count` threads, the calling thread among them; on fewer where the system
/// gives no more. All have ended when this returns or throws. What a task throws on a helper is
/// thrown here, as if the caller had run it; of several, one.
void runOnThreads(int32_t count, const std::function<void()> &task);

} // namespace alpa
