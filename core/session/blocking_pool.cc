#include "core/session/blocking_pool.h"

#include <utility>

#include "core/base/check.h"

namespace longhand {

BlockingPool::BlockingPool(size_t max_threads, size_t max_queued)
    : max_threads_(max_threads), max_queued_(max_queued) {
  LH_CHECK(max_threads >= 1);
}

BlockingPool::~BlockingPool() {
  std::vector<std::thread> threads;
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) thread.join();
}

bool BlockingPool::Submit(Task task) {
  absl::MutexLock lock(&mutex_);
  LH_CHECK(!stopping_);
  // Tasks that a free thread is about to take do not wait.
  if (running_ + tasks_.size() >= max_threads_ + max_queued_) return false;
  tasks_.push_back(std::move(task));
  if (running_ + tasks_.size() > threads_.size() &&
      threads_.size() < max_threads_) {
    threads_.emplace_back([this] { Work(); });
  }
  return true;
}

size_t BlockingPool::queued() const {
  absl::MutexLock lock(&mutex_);
  return tasks_.size();
}

size_t BlockingPool::running() const {
  absl::MutexLock lock(&mutex_);
  return running_;
}

void BlockingPool::Work() {
  mutex_.Lock();
  while (true) {
    mutex_.Await(absl::Condition(this, &BlockingPool::HasWorkOrStops));
    if (tasks_.empty()) break;  // stopping, and all is done
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    ++running_;
    mutex_.Unlock();
    std::move(task)();
    task = nullptr;  // what it holds goes before the thread counts as free
    mutex_.Lock();
    --running_;
  }
  mutex_.Unlock();
}

}  // namespace longhand
