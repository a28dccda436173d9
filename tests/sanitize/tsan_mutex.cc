// absl::Mutex, CondVar and Notification over pthreads, for builds with
// ThreadSanitizer.
//
// Debian's Abseil is not instrumented: its own lock is made of atomics and
// futexes that ThreadSanitizer does not see, so everything that such a lock
// guards looks like a race. These definitions are linked into every program of
// such a build and come before those of the shared library, for our code and
// for gRPC's alike; ThreadSanitizer follows the pthread functions under them.
//
// A mutex's word holds a pointer to its locks, made at first use: mutexes that
// are constants before any code has run need nothing else.

#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "absl/base/config.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#if ABSL_LTS_RELEASE_VERSION != 20220623
#error "tsan_mutex.cc knows the members of Abseil 20220623 (Debian 12) only"
#endif

namespace absl {
ABSL_NAMESPACE_BEGIN
namespace {

struct Locks {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  // Whether the holder may write; guarded by `lock`.
  bool writer = false;
  // Those who await a condition sleep on `changed`.
  pthread_mutex_t sleep = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

  ~Locks() {
    pthread_cond_destroy(&changed);
    pthread_mutex_destroy(&sleep);
    pthread_rwlock_destroy(&lock);
  }

  void Acquire(bool as_writer) {
    if (as_writer) {
      pthread_rwlock_wrlock(&lock);
      writer = true;
    } else {
      pthread_rwlock_rdlock(&lock);
    }
  }
  // Last of all, the lock: the next holder may destroy everything.
  void Release() {
    if (writer) {
      WakeAll();
      writer = false;
    }
    pthread_rwlock_unlock(&lock);
  }
  void WakeAll() {
    pthread_mutex_lock(&sleep);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&sleep);
  }

  // REQUIRES: held. Held again when it returns whether the condition is true.
  bool Await(const Condition& condition, absl::Time deadline) {
    // What this holder changed so far others may wait for.
    if (writer && !condition.Eval()) WakeAll();
    while (!condition.Eval()) {
      const bool as_writer = writer;
      pthread_mutex_lock(&sleep);
      writer = false;
      pthread_rwlock_unlock(&lock);
      int error = 0;
      if (deadline == absl::InfiniteFuture()) {
        pthread_cond_wait(&changed, &sleep);
      } else {
        const timespec until = absl::ToTimespec(deadline);
        error = pthread_cond_timedwait(&changed, &sleep, &until);
      }
      pthread_mutex_unlock(&sleep);
      Acquire(as_writer);
      if (error == ETIMEDOUT) return condition.Eval();
    }
    return true;
  }
};

struct Waiters {
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t signalled = PTHREAD_COND_INITIALIZER;

  ~Waiters() {
    pthread_cond_destroy(&signalled);
    pthread_mutex_destroy(&lock);
  }
};

// What the word points to; made if it is nothing yet.
template <typename T>
T* Get(std::atomic<intptr_t>& word) {
  intptr_t value = word.load(std::memory_order_acquire);
  if (value == 0) {
    T* const made = new T;
    if (word.compare_exchange_strong(value, reinterpret_cast<intptr_t>(made),
                                     std::memory_order_acq_rel)) {
      return made;
    }
    delete made;
  }
  return reinterpret_cast<T*>(value);
}

template <typename T>
void Free(std::atomic<intptr_t>& word) {
  delete reinterpret_cast<T*>(word.exchange(0, std::memory_order_acq_rel));
}

}  // namespace

Mutex::~Mutex() { Free<Locks>(mu_); }

void Mutex::Lock() { Get<Locks>(mu_)->Acquire(true); }
void Mutex::Unlock() { Get<Locks>(mu_)->Release(); }
void Mutex::ReaderLock() { Get<Locks>(mu_)->Acquire(false); }
void Mutex::ReaderUnlock() { Get<Locks>(mu_)->Release(); }

bool Mutex::TryLock() {
  Locks* const locks = Get<Locks>(mu_);
  if (pthread_rwlock_trywrlock(&locks->lock) != 0) return false;
  locks->writer = true;
  return true;
}
bool Mutex::ReaderTryLock() {
  return pthread_rwlock_tryrdlock(&Get<Locks>(mu_)->lock) == 0;
}

void Mutex::Await(const Condition& condition) {
  Get<Locks>(mu_)->Await(condition, absl::InfiniteFuture());
}
bool Mutex::AwaitWithDeadline(const Condition& condition, absl::Time deadline) {
  return Get<Locks>(mu_)->Await(condition, deadline);
}
bool Mutex::AwaitWithTimeout(const Condition& condition,
                             absl::Duration timeout) {
  return AwaitWithDeadline(condition, absl::Now() + timeout);
}

void Mutex::LockWhen(const Condition& condition) {
  Lock();
  Await(condition);
}
bool Mutex::LockWhenWithDeadline(const Condition& condition,
                                 absl::Time deadline) {
  Lock();
  return AwaitWithDeadline(condition, deadline);
}
bool Mutex::LockWhenWithTimeout(const Condition& condition,
                                absl::Duration timeout) {
  Lock();
  return AwaitWithTimeout(condition, timeout);
}
void Mutex::ReaderLockWhen(const Condition& condition) {
  ReaderLock();
  Await(condition);
}
bool Mutex::ReaderLockWhenWithDeadline(const Condition& condition,
                                       absl::Time deadline) {
  ReaderLock();
  return AwaitWithDeadline(condition, deadline);
}
bool Mutex::ReaderLockWhenWithTimeout(const Condition& condition,
                                      absl::Duration timeout) {
  ReaderLock();
  return AwaitWithTimeout(condition, timeout);
}

// They look into the word.
void Mutex::AssertHeld() const {}
void Mutex::AssertReaderHeld() const {}
void Mutex::AssertNotHeld() const {}
void Mutex::ForgetDeadlockInfo() {}
void Mutex::EnableDebugLog(const char*) {}
void Mutex::EnableInvariantDebugging(void (*)(void*), void*) {}

CondVar::~CondVar() { Free<Waiters>(cv_); }

void CondVar::Wait(Mutex* mutex) {
  WaitWithDeadline(mutex, absl::InfiniteFuture());
}
bool CondVar::WaitWithTimeout(Mutex* mutex, absl::Duration timeout) {
  return WaitWithDeadline(mutex, absl::Now() + timeout);
}
bool CondVar::WaitWithDeadline(Mutex* mutex, absl::Time deadline) {
  Waiters* const waiters = Get<Waiters>(cv_);
  pthread_mutex_lock(&waiters->lock);
  mutex->Unlock();
  int error = 0;
  if (deadline == absl::InfiniteFuture()) {
    pthread_cond_wait(&waiters->signalled, &waiters->lock);
  } else {
    const timespec until = absl::ToTimespec(deadline);
    error = pthread_cond_timedwait(&waiters->signalled, &waiters->lock, &until);
  }
  pthread_mutex_unlock(&waiters->lock);
  mutex->Lock();
  return error == ETIMEDOUT;
}
void CondVar::Signal() {
  Waiters* const waiters = Get<Waiters>(cv_);
  pthread_mutex_lock(&waiters->lock);
  pthread_cond_signal(&waiters->signalled);
  pthread_mutex_unlock(&waiters->lock);
}
void CondVar::SignalAll() {
  Waiters* const waiters = Get<Waiters>(cv_);
  pthread_mutex_lock(&waiters->lock);
  pthread_cond_broadcast(&waiters->signalled);
  pthread_mutex_unlock(&waiters->lock);
}
void CondVar::EnableDebugLog(const char*) {}

Notification::~Notification() { MutexLock lock(&mutex_); }

void Notification::Notify() {
  MutexLock lock(&mutex_);
  notified_yet_.store(true, std::memory_order_release);
}
void Notification::WaitForNotification() const {
  WaitForNotificationWithDeadline(absl::InfiniteFuture());
}
bool Notification::WaitForNotificationWithTimeout(
    absl::Duration timeout) const {
  return WaitForNotificationWithDeadline(absl::Now() + timeout);
}
bool Notification::WaitForNotificationWithDeadline(absl::Time deadline) const {
  const bool notified = mutex_.LockWhenWithDeadline(
      Condition(&HasBeenNotifiedInternal, &notified_yet_), deadline);
  mutex_.Unlock();
  return notified;
}

ABSL_NAMESPACE_END
}  // namespace absl
