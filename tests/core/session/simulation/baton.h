// Baton: threads of which one runs at a time, chosen by a seed, so that a run
// of a concurrent program can be repeated. A thread keeps running until it
// calls Yield; nothing may block but through it. The thread that makes the
// Baton takes part.
#ifndef LONGHAND_TESTS_CORE_SESSION_SIMULATION_BATON_H_
#define LONGHAND_TESTS_CORE_SESSION_SIMULATION_BATON_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <semaphore>
#include <thread>
#include <vector>

namespace longhand::testing {

class Baton {
 public:
  explicit Baton(uint64_t seed) : random_(seed) {
    runnable_.push_back(&maker_);
    current_ = &maker_;
  }
  // All tasks must have ended.
  ~Baton();

  // From whoever runs: a thread that will be chosen some time.
  void Start(std::function<void()> task);
  // Lets any thread go on, maybe the caller.
  void Yield();
  // Yields until no task is left.
  void RunAll();

  size_t tasks() const { return runnable_.size() - 1; }
  uint64_t steps() const { return steps_; }
  // Random numbers of the seed, from whoever runs.
  uint64_t Below(uint64_t bound) { return random_() % bound; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }

 private:
  struct Runner {
    std::binary_semaphore turn{0};
    std::function<void()> task;
    std::thread thread;
    bool stops = false;
  };

  void Work(Runner* runner);

  std::mt19937_64 random_;
  uint64_t steps_ = 0;
  Runner maker_;
  Runner* current_;
  std::vector<Runner*> runnable_;
  std::vector<Runner*> resting_;  // threads for the next tasks
  std::vector<std::unique_ptr<Runner>> runners_;
};

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_CORE_SESSION_SIMULATION_BATON_H_
