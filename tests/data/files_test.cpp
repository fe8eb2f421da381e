#include "data/files.h"

#include "core/error.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace tenfold {
namespace {

namespace fs = std::filesystem;

TEST(FilesAt, TakesAFileOrTheFilesOfAFolderByName) {
  const fs::path folder = fs::temp_directory_path() / fmt::format("tenfold-files-{}", ::getpid());
  fs::create_directories(folder / "c.txt");  // a folder, whatever its name
  const auto message = [&] {
    try {
      files_at(folder.string(), "text", {".txt", ".md"});
    } catch (const InputError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(message().find("no *.txt or *.md file"), std::string::npos) << message();
  for (const char* name : {"b.txt", "a.md", "d.json"}) std::ofstream(folder / name) << name;
  const std::vector<std::string> expected = {(folder / "a.md").string(), (folder / "b.txt").string()};
  EXPECT_EQ(files_at(folder.string(), "text", {".txt", ".md"}), expected);
  EXPECT_EQ(files_at((folder / "d.json").string(), "text", {".txt"}), std::vector<std::string>{(folder / "d.json").string()});
  fs::remove_all(folder);
  EXPECT_NE(message().find("no such file or folder"), std::string::npos) << message();
}

}  // namespace
}  // namespace tenfold
