#include "client/cli/interrupt.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <utility>

namespace longhand::client {

InterruptHandler::InterruptHandler() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal_fd_ = signalfd(-1, &signals, SFD_CLOEXEC);
  stop_fd_ = eventfd(0, EFD_CLOEXEC);
  watcher_ = std::thread([this] { Watch(); });
}

InterruptHandler::~InterruptHandler() {
  eventfd_write(stop_fd_, 1);
  watcher_.join();
  close(stop_fd_);
  close(signal_fd_);
}

void InterruptHandler::SetCallback(std::function<void()> callback) {
  absl::MutexLock lock(&mutex_);
  callback_ = std::move(callback);
  if (callback_ && signal_ != 0) callback_();
}

void InterruptHandler::Interrupt(int number) {
  if (signal_ != 0) _exit(128 + number);
  absl::MutexLock lock(&mutex_);
  signal_ = number;
  cancellation_.Cancel();
  if (callback_) callback_();
}

void InterruptHandler::Watch() {
  for (;;) {
    pollfd fds[] = {{signal_fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
    if (poll(fds, 2, -1) < 0) continue;
    if (fds[1].revents != 0) return;
    signalfd_siginfo info = {};
    if (fds[0].revents != 0 &&
        read(signal_fd_, &info, sizeof(info)) == sizeof(info)) {
      Interrupt(static_cast<int>(info.ssi_signo));
    }
  }
}

}  // namespace longhand::client
