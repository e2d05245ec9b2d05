#include "core/sharding/search/HelperThreads.h"

#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace alpa {
namespace {

struct Helpers {
  std::vector<std::thread> threads;
  ~Helpers() {
    for (std::thread &thread : threads)
      thread.join();
  }
};

} // namespace

void runOnThreads(int32_t count, const std::function<void()> &task) {
  std::mutex mutex;
  std::exception_ptr thrown;
  auto run = [&] {
    try {
      task();
    } catch (...) {
      std::lock_guard<std::mutex> lock(mutex);
      thrown = std::current_exception();
    }
  };
  {
    Helpers helpers;
    helpers.threads.reserve(count > 1 ? count - 1 : 0);
    try {
      for (int32_t i = 1; i < count; ++i)
        helpers.threads.emplace_back(run);
    } catch (const std::system_error &) {
      // There are as many as there are; the caller does the rest.
    }
    run();
  }
  if (thrown)
    std::rethrow_exception(thrown);
}

} // namespace alpa
