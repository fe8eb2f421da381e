#pragma once

#include "model/model.h"
#include "support/device.h"

#include <utility>

namespace tenfold::test {

/// A model where the device reaches its weights, as the program places it.
inline Model placed(Device& device, Model model) {
  return device.kind() == DeviceKind::kCpu ? std::move(model) : model.copied_to(device);
}

}  // namespace tenfold::test
