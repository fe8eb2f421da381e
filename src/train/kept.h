#pragma once

#include "device/device.h"
#include "model/block.h"
#include "train/trainer.h"

#include <cstdint>
#include <vector>

namespace tenfold {

/// What the layers of one record's forward keep for its backward. Layers on the host share kOffloadPlaces places on the device in
/// turn: each leaves for the host when its forward is done, beside the next layer's, and is fetched again beside the backward of
/// the layer above; the last of them stay where they are. Owns the memory; nothing is allocated after construction.
class KeptActivations {
 public:
  KeptActivations(Device& device, const ModelConfig& config, const LoraConfig& lora, const TrainOptions& options,
                  const TrainPlan& plan);

  /// Lays out a record of so many (padded) tokens, within the plan's bytes.
  void begin(int64_t tokens);
  const BlockSaved& layer(int64_t i) const { return saved_[static_cast<size_t>(i)]; }
  /// (T, D): the last layer's output.
  const TensorView& last() const { return last_; }

  /// Before anything of layer i is written (its input is, by the layer below).
  void open(int64_t i);
  /// The forward of layer i is enqueued.
  void forward_done(int64_t i);
  /// Before the backward of layer i reads.
  void need(int64_t i);
  /// The backward of layer i is enqueued.
  void backward_done(int64_t i);

 private:
  bool on_host(int64_t i) const { return i < on_host_; }
  /// Whether a later layer takes this one's place.
  bool leaves(int64_t i) const;
  void* host_copy(int64_t i) const;
  void* place(int64_t i) const { return layer(i).x.data; }

  Device& device_;
  const ModelConfig& config_;
  LoraConfig lora_;
  DType compute_;
  Offload offload_;
  Workspace device_room_;
  Buffer host_room_;
  std::vector<BlockSaved> saved_;
  TensorView last_;
  int64_t on_host_ = 0;      ///< layers [0, on_host_) go to the host
  int64_t host_stride_ = 0;  ///< bytes of each
  std::vector<CopyTicket> out_, in_;
};

}  // namespace tenfold
