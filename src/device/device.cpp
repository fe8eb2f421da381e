#include "device/device.h"

#include "core/checked.h"
#include "core/error.h"
#include "device/refusal.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>

namespace tenfold {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kHugePage = int64_t{2} << 20;

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
}

}  // namespace

std::string_view name_of(MemoryUse use) {
  switch (use) {
    case MemoryUse::kWeights: return "weights";
    case MemoryUse::kAdapter: return "adapter";
    case MemoryUse::kOptimizer: return "optimizer";
    case MemoryUse::kActivations: return "activations";
    case MemoryUse::kCache: return "kv cache";
    case MemoryUse::kWorkspace: return "workspace";
  }
  TENFOLD_CHECK(false, "use {}", static_cast<int>(use));
}

Buffer::Buffer(Buffer&& other) noexcept
    : name_(std::move(other.name_)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      device_(std::exchange(other.device_, nullptr)),
      on_host_(other.on_host_) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    if (device_ != nullptr) device_->release(*this);
    name_ = std::move(other.name_);
    data_ = std::exchange(other.data_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
    device_ = std::exchange(other.device_, nullptr);
    on_host_ = other.on_host_;
  }
  return *this;
}

Buffer::~Buffer() {
  if (device_ != nullptr) device_->release(*this);
}

DeviceKind Buffer::device_kind() const { return device_ == nullptr ? DeviceKind::kCpu : device_->kind(); }

void Buffer::fill_zero() {
  if (bytes_ == 0) return;
  if (!on_host_) return device_->fill_zero(data_, bytes_);
  device_->synchronize();
  std::memset(data_, 0, static_cast<size_t>(bytes_));
}

TensorView Buffer::view(DType dtype, std::initializer_list<int64_t> dims) const {
  TensorView out(name_.c_str(), dtype, dims, data_);
  TENFOLD_CHECK(out.bytes() <= bytes_, "{}: {} needs {} bytes of {}", name_, shape_text(out), out.bytes(), bytes_);
  out.device = device_kind();
  return out;
}

Device::Device(int threads) : Device(DeviceKind::kCpu, threads) {}
Device::Device(DeviceKind kind, int threads) : kind_(kind), threads_(threads > 0 ? threads : available_cores()) {}
Device::~Device() = default;

std::string Device::description() const { return fmt::format("{} CPU threads", threads_); }

Buffer Device::allocate(std::string_view name, MemoryUse use, int64_t bytes) {
  TENFOLD_CHECK(bytes >= 0, "{}: {} bytes", name, bytes);
  Buffer buffer;
  buffer.name_ = name;
  buffer.bytes_ = bytes;
  buffer.data_ = acquire(bytes);
  if (buffer.data_ == nullptr) {
    const MemoryPlace place = kind_ == DeviceKind::kCpu ? MemoryPlace::kHost : MemoryPlace::kGpu;
    throw DeviceError(memory_refusal({place, name, name_of(use), bytes, bytes_in_use_, free_bytes()}));
  }
  buffer.device_ = this;
  ++allocations_;
  bytes_in_use_ += bytes;
  peak_bytes_ = std::max(peak_bytes_, bytes_in_use_);
  return buffer;
}

Buffer Device::allocate_host(std::string_view name, MemoryUse use, int64_t bytes) {
  if (kind_ == DeviceKind::kCpu) return allocate(name, use, bytes);
  TENFOLD_CHECK(bytes >= 0, "{}: {} bytes", name, bytes);
  Buffer buffer;
  buffer.name_ = name;
  buffer.bytes_ = bytes;
  buffer.data_ = acquire_host(bytes);
  if (buffer.data_ == nullptr) {
    throw DeviceError(memory_refusal({MemoryPlace::kPinned, name, name_of(use), bytes, host_bytes_in_use_, -1}));
  }
  buffer.device_ = this;
  buffer.on_host_ = true;
  ++allocations_;
  host_bytes_in_use_ += bytes;
  return buffer;
}

void Device::release(Buffer& buffer) {
  if (buffer.on_host_) {
    give_back_host(buffer.data_, buffer.bytes_);
    host_bytes_in_use_ -= buffer.bytes_;
  } else {
    give_back(buffer.data_, buffer.bytes_);
    bytes_in_use_ -= buffer.bytes_;
  }
  buffer.data_ = nullptr;
}

void* Device::acquire(int64_t bytes) {
  const int64_t alignment = bytes >= kHugePage ? kHugePage : kAlignment;
  const int64_t padded = round_up(std::max<int64_t>(bytes, 1), alignment);
  void* data = std::aligned_alloc(static_cast<size_t>(alignment), static_cast<size_t>(padded));
  // Huge pages save page faults on buffers that are streamed; the kernel may ignore the advice.
  if (data != nullptr && alignment == kHugePage) madvise(data, static_cast<size_t>(padded), MADV_HUGEPAGE);
  return data;
}

void Device::give_back(void* data, int64_t) { std::free(data); }

int64_t Device::peak_held_bytes() const { return peak_resident_bytes(); }

int64_t Device::free_bytes() const { return host_memory_bytes() - bytes_in_use_; }

void Device::copy_in(void* to, const void* from, int64_t bytes) { std::memcpy(to, from, static_cast<size_t>(bytes)); }
void Device::copy_out(void* to, const void* from, int64_t bytes) { std::memcpy(to, from, static_cast<size_t>(bytes)); }
std::unique_ptr<Recording> Device::record(const std::function<void()>&) { return nullptr; }
void Device::fill_zero(void* data, int64_t bytes) { std::memset(data, 0, static_cast<size_t>(bytes)); }
CopyTicket Device::copy_out_later(void* host, const void* device, int64_t bytes, CopyTicket) {
  std::memcpy(host, device, static_cast<size_t>(bytes));
  return 0;
}
CopyTicket Device::copy_in_later(void* device, const void* host, int64_t bytes, CopyTicket) {
  std::memcpy(device, host, static_cast<size_t>(bytes));
  return 0;
}

HostCopy::HostCopy(Device& device, const TensorView& t) : view_(t) {
  TENFOLD_CHECK(t.is_contiguous(), "{} {}: not contiguous", t.name, shape_text(t));
  if (device.kind() == DeviceKind::kCpu) return;
  bytes_.resize(static_cast<size_t>(t.bytes()));
  if (!bytes_.empty()) device.copy_out(bytes_.data(), t.data, t.bytes());
  view_.data = bytes_.data();
  view_.device = DeviceKind::kCpu;
}

void* Workspace::bytes(int64_t n) {
  const int64_t at = used_;
  used_ += round_up(n, kAlignment);
  high_water_ = std::max(high_water_, used_);
  if (measuring_) return nullptr;
  TENFOLD_CHECK(used_ <= buffer_.bytes(), "workspace {}: {} bytes wanted, {} planned", buffer_.name(), used_, buffer_.bytes());
  return static_cast<std::byte*>(buffer_.data()) + at;
}

TensorView Workspace::tensor(const char* name, DType dtype, std::initializer_list<int64_t> dims) {
  TensorView out(name, dtype, dims, nullptr);
  out.data = bytes(out.bytes());
  out.device = buffer_.device_kind();
  return out;
}

int64_t workspace_bytes(DType dtype, std::initializer_list<int64_t> dims) {
  return round_up(TensorView("", dtype, dims, nullptr).bytes(), kAlignment);
}

void MemoryPlan::add_surroundings(const Device& device) {
  if (device.kind() == DeviceKind::kCpu) return add("program", MemoryUse::kWorkspace, kProgramBytes);
  add("context and libraries", MemoryUse::kWorkspace, device.overhead_bytes());
}

int64_t MemoryPlan::total() const {
  int64_t sum = 0;
  for (const auto& b : buffers) sum += b.bytes;
  return sum;
}

int64_t MemoryPlan::total(MemoryUse use) const {
  int64_t sum = 0;
  for (const auto& b : buffers) sum += b.use == use ? b.bytes : 0;
  return sum;
}

int64_t host_memory_bytes() {
  int64_t total = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  int64_t limit = 0;
  if (std::ifstream file("/sys/fs/cgroup/memory.max"); file >> limit && limit > 0) total = std::min(total, limit);
  return total;
}

int64_t peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace tenfold
