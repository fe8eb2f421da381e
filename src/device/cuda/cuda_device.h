#pragma once

#include "device/cuda/context.h"
#include "device/cuda/copy_lanes.h"
#include "device/device.h"

#include <memory>
#include <string>

namespace tenfold::cuda {

/// One GPU. Throws DeviceError when there is no driver, no such GPU, or a cuDNN that is refused.
class CudaDevice final : public Device {
 public:
  CudaDevice(int index, std::shared_ptr<ops::Backend> backend);
  ~CudaDevice() override;

  std::string description() const override { return description_; }
  int64_t free_bytes() const override;
  int64_t overhead_bytes() const override { return overhead_bytes_; }
  /// Buffers come and go only between runs, so what is held now is the most of this run.
  int64_t peak_held_bytes() const override;
  int64_t row_multiple() const override { return 128; }  // cuDNN's attention (performance.md 9.2)
  int64_t prefill_rows() const override { return 16384; }
  int64_t pack_rows() const override { return 16384; }  // a short record's kernels take as long to start as to run
  int64_t mlp_rows() const override { return 8192; }    // large products, and a chunk that is still small beside a sequence
  void copy_in(void* to, const void* from, int64_t bytes) override;
  void copy_out(void* to, const void* from, int64_t bytes) override;
  void fill_zero(void* data, int64_t bytes) override;
  CopyTicket copy_out_later(void* host, const void* device, int64_t bytes, CopyTicket after) override;
  CopyTicket copy_in_later(void* device, const void* host, int64_t bytes, CopyTicket after) override;
  void wait_for(CopyTicket ticket) override;
  double link_bytes_per_second() const override { return 50e9; }  // PCIe 5.0 x16, less its framing
  void synchronize() override;
  std::unique_ptr<Recording> record(const std::function<void()>& work) override;
  bool records() const override { return true; }
  ops::Backend* backend() override { return backend_.get(); }
  Context& context() { return *context_; }

 protected:
  void* acquire(int64_t bytes) override;
  void give_back(void* data, int64_t bytes) override;
  void* acquire_host(int64_t bytes) override;
  void give_back_host(void* data, int64_t bytes) override;

 private:
  /// Ops and copies are done before memory goes.
  void finish() const noexcept;

  std::unique_ptr<Context> context_;
  std::unique_ptr<CopyLanes> lanes_;
  std::shared_ptr<ops::Backend> backend_;  ///< not shared: device may not see its type, and this knows how to delete it
  std::string description_;
  int64_t overhead_bytes_ = 0;
};

}  // namespace tenfold::cuda
