#pragma once

#include "core/tensor.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

/// What a buffer is for; the rows of the memory plan are summed by it.
enum class MemoryUse : uint8_t { kWeights, kAdapter, kOptimizer, kActivations, kCache, kWorkspace };
std::string_view name_of(MemoryUse use);

class Device;
namespace ops {
class Backend;
}

/// Owned device memory, or host memory that a device copies to and from while it computes. Move-only; frees on destruction.
/// 64-byte aligned, contents undefined until written.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer();

  const std::string& name() const { return name_; }
  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  /// Null while empty.
  Device* device() const { return device_; }
  DeviceKind device_kind() const;
  void fill_zero();
  /// A contiguous view of the first elements; the shape must fit. The view's name is the buffer's.
  TensorView view(DType dtype, std::initializer_list<int64_t> dims) const;

 private:
  friend class Device;
  std::string name_;
  void* data_ = nullptr;
  int64_t bytes_ = 0;
  Device* device_ = nullptr;
  bool on_host_ = false;
};

/// A copy that was enqueued beside the ops (Device::copy_out_later, copy_in_later). 0: nothing to wait for.
using CopyTicket = int64_t;

/// Work that a device has recorded (Device::record).
class Recording {
 public:
  Recording() = default;
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
  virtual ~Recording() = default;
  /// Enqueues it once more, as a whole.
  virtual void replay() = 0;
};

/// One place to compute and its memory: as it stands the CPU with its compute pool; a GPU derives from it (device/cuda, opened by
/// open_cuda_device). Counts allocations, so that a test can prove that a step makes none.
class Device {
 public:
  /// The CPU with `threads` compute threads (0: all cores that this process may use).
  explicit Device(int threads = 0);
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  virtual ~Device();

  DeviceKind kind() const { return kind_; }
  int threads() const { return threads_; }
  /// For people: "2 CPU threads", or a GPU's name with the versions of its libraries.
  virtual std::string description() const;

  /// Throws DeviceError, naming the buffer and the bytes, when memory is refused.
  Buffer allocate(std::string_view name, MemoryUse use, int64_t bytes);
  /// Host memory that copies run to and from at full speed, beside the ops: page-locked where the device is a GPU, whose ops may
  /// also read and write it in place, at the speed of the link. On the CPU a buffer like any other. Throws as allocate does.
  Buffer allocate_host(std::string_view name, MemoryUse use, int64_t bytes);
  int64_t allocations() const { return allocations_; }
  int64_t bytes_in_use() const { return bytes_in_use_; }
  int64_t host_bytes_in_use() const { return host_bytes_in_use_; }
  int64_t peak_bytes() const { return peak_bytes_; }
  /// Bytes that buffers may still take, and what stands outside of buffers (a GPU's context, libraries and staging).
  virtual int64_t free_bytes() const;
  virtual int64_t overhead_bytes() const { return 0; }
  /// The most that this process has held: its peak resident set, or what a GPU's driver counts.
  virtual int64_t peak_held_bytes() const;
  /// Runs of tokens come in multiples of this where speed matters: the caller pads.
  virtual int64_t row_multiple() const { return 1; }
  /// Short records of a step go through the model together up to so many tokens; 0: one by one.
  virtual int64_t pack_rows() const { return 0; }
  /// Tokens of the MLP in work at a time: gate and up of so many never exist for a whole sequence.
  virtual int64_t mlp_rows() const { return 1024; }
  /// Tokens of a prompt read at a time.
  virtual int64_t prefill_rows() const { return 2048; }

  /// Between host memory and a buffer, in order with the ops. copy_in returns when `from` may be reused, copy_out when `to` is
  /// filled. Throw DeviceError.
  virtual void copy_in(void* to, const void* from, int64_t bytes);
  virtual void copy_out(void* to, const void* from, int64_t bytes);
  virtual void fill_zero(void* data, int64_t bytes);

  /// Between a buffer and one of allocate_host, beside the ops and beside copies of the other direction. The copy begins after
  /// the ops enqueued so far and after the copy `after`; what it reads and writes is left alone until wait_for(its ticket). On
  /// the CPU it is done on return. Throw DeviceError.
  virtual CopyTicket copy_out_later(void* host, const void* device, int64_t bytes, CopyTicket after = 0);
  virtual CopyTicket copy_in_later(void* device, const void* host, int64_t bytes, CopyTicket after = 0);
  /// Ops enqueued from now on begin after that copy.
  virtual void wait_for(CopyTicket) {}
  /// Bytes a second that such a copy may be expected to make each way, for choosing between plans; 0 where the device has no
  /// memory of its own, so that nothing is gained by it.
  virtual double link_bytes_per_second() const { return 0; }

  /// Returns when every op is done.
  virtual void synchronize() {}
  /// What `work` enqueues, kept instead of run: with the addresses that it was given, so ops that take arrays from the host or
  /// bring results back have no place in it, nor has a profile. Null where the device does not record.
  virtual std::unique_ptr<Recording> record(const std::function<void()>& work);
  virtual bool records() const { return false; }
  /// Who computes where kind() is not the CPU (ops/backend.h).
  virtual ops::Backend* backend() { return nullptr; }

 protected:
  Device(DeviceKind kind, int threads);
  /// Null when refused.
  virtual void* acquire(int64_t bytes);
  virtual void give_back(void* data, int64_t bytes);
  virtual void* acquire_host(int64_t bytes) { return Device::acquire(bytes); }
  virtual void give_back_host(void* data, int64_t bytes) { Device::give_back(data, bytes); }

 private:
  friend class Buffer;
  void release(Buffer& buffer);

  DeviceKind kind_ = DeviceKind::kCpu;
  int threads_ = 1;
  int64_t allocations_ = 0;
  int64_t bytes_in_use_ = 0;
  int64_t host_bytes_in_use_ = 0;
  int64_t peak_bytes_ = 0;
};

/// A contiguous tensor as the host reads it: itself where it lies in host memory, else a copy.
class HostCopy {
 public:
  HostCopy(Device& device, const TensorView& t);
  const TensorView& view() const { return view_; }

 private:
  std::vector<std::byte> bytes_;
  TensorView view_;
};

/// The GPU of that index through libtenfold_cuda.so, which lies beside the program, in ../lib, or where it was built. DeviceError
/// says what is missing: the library, the driver, cuDNN, the GPU.
std::unique_ptr<Device> open_cuda_device(int index);
/// Whether that library is there; nothing is opened.
bool has_cuda_library();

/// A stack of temporaries inside one buffer. Sizes are planned before (the *_scratch_bytes functions of the ops), and running
/// over is a bug. With no buffer it only measures: `high_water` then says what a buffer would need.
class Workspace {
 public:
  Workspace() = default;
  explicit Workspace(Buffer buffer) : buffer_(std::move(buffer)), measuring_(false) {}

  /// Uninitialised, 64-byte aligned; valid until the enclosing Scope ends. While measuring, the pointer is null.
  TensorView tensor(const char* name, DType dtype, std::initializer_list<int64_t> dims);
  void* bytes(int64_t n);
  int64_t high_water() const { return high_water_; }
  int64_t capacity() const { return buffer_.bytes(); }
  bool measuring() const { return measuring_; }

  /// Releases on destruction what was taken since its construction.
  class Scope {
   public:
    explicit Scope(Workspace& workspace) : workspace_(workspace), mark_(workspace.used_) {}
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope() { workspace_.used_ = mark_; }

   private:
    Workspace& workspace_;
    int64_t mark_;
  };

 private:
  Buffer buffer_;
  bool measuring_ = true;
  int64_t used_ = 0;
  int64_t high_water_ = 0;
};

/// Bytes that `Workspace` takes for a tensor: its own, rounded up to the alignment.
int64_t workspace_bytes(DType dtype, std::initializer_list<int64_t> dims);

/// Code, libraries, tokenizer and the allocator's own: what a process is planned to hold beside our buffers.
inline constexpr int64_t kProgramBytes = int64_t{96} << 20;

/// One row of a memory plan.
struct PlannedBuffer {
  std::string name;
  MemoryUse use = MemoryUse::kWorkspace;
  int64_t bytes = 0;
};

/// The table of named buffers that a run will hold, made before anything is allocated.
struct MemoryPlan {
  std::vector<PlannedBuffer> buffers;

  void add(std::string name, MemoryUse use, int64_t bytes) { buffers.push_back({std::move(name), use, bytes}); }
  /// What stands beside the buffers: the program on the host, or a GPU's context and libraries.
  void add_surroundings(const Device& device);
  int64_t total() const;
  int64_t total(MemoryUse use) const;
};

/// Memory that this process may use on the host: the machine's, or the control group's limit if that is less.
int64_t host_memory_bytes();
/// Peak resident set of this process.
int64_t peak_resident_bytes();

}  // namespace tenfold
