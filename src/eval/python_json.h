#pragma once

#include "format/json.h"

#include <string>

namespace tenfold {

/// json.dumps(value, ensure_ascii=...): separators ", " and ": ", floats as their repr. Invalid UTF-8 becomes U+FFFD.
std::string python_json(const Json& value, bool ensure_ascii);

}  // namespace tenfold
