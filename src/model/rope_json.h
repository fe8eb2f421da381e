#pragma once

#include "format/json.h"
#include "model/config.h"

#include <string_view>

namespace tenfold {

/// RoPE from the JSON of a model's config.json: `rope_theta` beside `rope_scaling` (transformers v4) or both inside
/// `rope_parameters` (v5). Missing fields keep their defaults; InputError names `source` and the field.
RopeConfig rope_from_config_json(const Json& config, std::string_view source);

/// One object of RoPE parameters, as `rope_parameters` and an adapter's tenfold.json hold it. `theta` where it names none.
RopeConfig rope_from_json(const Json& parameters, double theta, std::string_view source);

/// The object that `rope_from_json` reads back. A type's unused fields are left out, and so are `divisors`: they come with the
/// model's weights.
Json rope_to_json(const RopeConfig& rope);

}  // namespace tenfold
