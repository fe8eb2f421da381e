#include "cli/console.h"
#include "cli/signals.h"
#include "cli/verb.h"
#include "core/error.h"

#include <csignal>
#include <cstdio>

#include <exception>
#include <new>
#include <string>
#include <vector>

namespace {

constexpr int kInputExit = 2;
constexpr int kDeviceExit = 3;
constexpr int kIoExit = 4;
constexpr int kBugExit = 70;

int fail(tenfold::cli::Console& console, const std::string& message, int code) {
  console.note((console.err_colours() ? "\033[1;31merror:\033[0m " : "error: ") + message);
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  tenfold::cli::Console console;
  const tenfold::cli::StopSignal stop;
  // A write past RLIMIT_FSIZE is then an error like a full disk, not a death.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    return tenfold::cli::run_program(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc), console, stop);
  } catch (const tenfold::InputError& error) {
    return fail(console, error.what(), kInputExit);
  } catch (const tenfold::DeviceError& error) {
    return fail(console, error.what(), kDeviceExit);
  } catch (const std::bad_alloc&) {
    return fail(console, "out of memory: the host refused an allocation; `tenfold plan` shows what a run needs", kDeviceExit);
  } catch (const tenfold::IoError& error) {
    return fail(console, error.what(), kIoExit);
  } catch (const std::exception& error) {
    return fail(console,
                std::string("unexpected: ") + error.what() + "\nThis is a bug in tenfold; please report it with the command.",
                kBugExit);
  }
}
