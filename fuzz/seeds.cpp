#include "format/atomic_file.h"
#include "format/gguf_writer.h"
#include "malformed/gguf_table.h"
#include "malformed/safetensors_table.h"

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

// Writes the first inputs of the fuzz targets: every named malformed file and the valid ones, one directory a format.

namespace {

using tenfold::malformed::Case;

void write_cases(const std::string& directory, const std::vector<Case>& cases) {
  tenfold::make_directories(directory);
  for (const Case& c : cases) {
    if (c.bytes.size() < 60000) tenfold::write_file_atomically(directory + "/" + c.name, c.bytes);
  }
}

std::vector<Case> json_lines() {
  return {{"EMPTY", "", ""},
          {"PLAIN",
           "{\"conversations\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}],\"n\":1}\n{"
           "\"a\":-2.5e3}\n",
           ""},
          {"BLANK_LINES", "\xef\xbb\xbf{\"a\":[true,false,null]}\r\n \n\n{\"b\":{}}", ""},
          {"SURROGATES", "{\"a\":\"\\ud83d\\ude00\\u00e9\\n\"}\n{\"b\":\"\\ud83d\"}\n", ""},
          {"DUPLICATE", "{\"a\":1,\"\\u0061\":2}\n", ""},
          {"NUL", std::string("{\"a\":1}\0{\n", 10), ""},
          {"DEEP", std::string(70, '[') + std::string(70, ']') + "\n", ""},
          {"NUMBERS", "{\"a\":18446744073709551616,\"b\":-9223372036854775808,\"c\":1e308,\"d\":0.1}\n", ""}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: fuzz_seeds DIRECTORY\n");
    return 2;
  }
  try {
    const std::string root = argv[1];
    auto gguf = tenfold::malformed::gguf_cases();
    gguf.push_back({"VALID", tenfold::malformed::valid_gguf().encode(), ""});
    write_cases(root + "/gguf", gguf);
    auto safetensors = tenfold::malformed::safetensors_cases();
    safetensors.push_back({"VALID", tenfold::malformed::valid_safetensors(), ""});
    write_cases(root + "/safetensors", safetensors);
    write_cases(root + "/json_lines", json_lines());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fuzz_seeds: %s\n", error.what());
    return 1;
  }
  return 0;
}
