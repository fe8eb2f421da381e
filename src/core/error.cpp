#include "core/error.h"

#include <cstdio>
#include <cstdlib>

namespace tenfold {

void check_failed(const char* file, int line, const char* condition, const std::string& message) {
  std::fprintf(stderr, "%s:%d: internal check failed: %s%s%s\nThis is a bug in tenfold; please report it with the command.\n",
               file, line, condition, message.empty() ? "" : ": ", message.c_str());
  std::abort();
}

}  // namespace tenfold
