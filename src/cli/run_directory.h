#pragma once

#include "cli/verb.h"

#include <string>
#include <vector>

namespace tenfold::cli {

/// One input of a run: its path, bytes and a hash, so that a later reader can tell whether it is the same.
std::string input_line(const std::string& path);

/// Writes config.toml (whole or not at all): a heading with version, command line, machine and inputs as comments, then every
/// option resolved; the file can be given to --config.
void write_run_config(const std::string& path, const Context& context, const std::vector<std::string>& facts,
                      const std::vector<std::string>& inputs);

}  // namespace tenfold::cli
