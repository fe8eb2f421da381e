#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace tenfold {

/// A read-only memory map of a whole file. Move-only; the bytes live as long as the object.
/// Throws IoError when the file cannot be opened or mapped (the message says which and why).
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, static_cast<size_t>(size_)}; }
  int64_t size() const { return size_; }

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  int64_t size_ = 0;
};

/// The whole of a text file. Throws IoError; refuses files above `limit` bytes with InputError.
std::string read_text_file(const std::string& path, int64_t limit = int64_t{1} << 33);

}  // namespace tenfold
