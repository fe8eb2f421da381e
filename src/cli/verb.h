#pragma once

#include "cli/console.h"
#include "cli/options.h"
#include "cli/signals.h"
#include "format/json.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold::cli {

/// What every verb takes.
struct CommonOptions {
  std::string config;
  std::string device = "auto";
  int64_t gpus = 0;
  int64_t threads = 0;
  int64_t seed = 0;
  ByteSize host_memory;
  ByteSize gpu_memory;
  ByteSize pinned_memory;
  bool json = false;
  bool dry_run = false;
};

struct LoadedModel;

/// What a verb is given to run.
struct Context {
  Console& console;
  const StopSignal& stop;
  const CommonOptions& common;
  const OptionTable& options;
  std::string verb;
  std::string command_line;  ///< as typed, quoted for a shell
  Json summary;              ///< fields of the --json line, in this order
  /// Where verbs that run one after another with the same model's options keep it; null where a verb runs alone.
  std::unique_ptr<LoadedModel>* kept_model = nullptr;
};

/// One word (or two, "eval needle") of the command line. Declares its options bound to its own members, checks them together,
/// runs.
class Verb {
 public:
  Verb() = default;
  Verb(const Verb&) = delete;
  Verb& operator=(const Verb&) = delete;
  virtual ~Verb() = default;

  virtual std::string name() const = 0;
  virtual std::string summary() const = 0;  ///< one line
  virtual std::string examples() const { return {}; }
  virtual void declare(OptionTable& table) = 0;
  /// Adds what is wrong with the options together, before anything is opened.
  virtual void check(const OptionTable& table, std::vector<std::string>& errors) const {
    (void)table;
    (void)errors;
  }
  /// Returns the process's exit code; throws InputError, DeviceError or IoError.
  virtual int run(Context& context) = 0;
};

/// Every verb there is, in the order of the help page.
std::vector<std::unique_ptr<Verb>> make_verbs();

/// Runs a command line without the program's name. Returns the exit code; the errors of the three kinds fly on to main.
/// `kept_model`: see Context.
int run_program(const std::vector<std::string>& words, Console& console, const StopSignal& stop,
                std::unique_ptr<LoadedModel>* kept_model = nullptr);

/// A word as a shell needs it.
std::string shell_quoted(const std::string& word);

/// The words of a line as a shell reads it: split at blanks, '...', "..." and \ keep what they hold. InputError, which begins
/// with `where`, on a quote that is not closed.
std::vector<std::string> shell_words(std::string_view line, std::string_view where);

}  // namespace tenfold::cli
