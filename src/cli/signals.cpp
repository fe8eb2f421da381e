#include "cli/signals.h"

#include <csignal>

#include <atomic>

namespace tenfold::cli {
namespace {

// A signal handler has no argument, so its flag is the one thing that must be static.
std::atomic<int> caught{0};
static_assert(std::atomic<int>::is_always_lock_free);

void on_signal(int number) { caught.store(number); }

}  // namespace

StopSignal::StopSignal() {
  caught.store(0);
  struct sigaction action {};
  action.sa_handler = on_signal;
  // RESETHAND: the second signal does what it does to any program. No RESTART: a read at the prompt of `chat` ends, too.
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

StopSignal::~StopSignal() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

int StopSignal::number() const { return caught.load(); }

}  // namespace tenfold::cli
