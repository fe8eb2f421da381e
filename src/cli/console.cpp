#include "cli/console.h"

#include "cli/values.h"
#include "core/error.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace tenfold::cli {
namespace {

constexpr double kRedrawSeconds = 0.1;
constexpr double kLongestLineInterval = 30;

/// Columns that UTF-8 text takes, taking every code point as one.
int columns(std::string_view text) {
  return static_cast<int>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string cut(std::string text, int width) {
  while (!text.empty() && columns(text) > width) {
    do text.pop_back();
    while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xC0U) == 0x80U);
  }
  return text;
}

}  // namespace

Console::Console() {
  out_is_terminal_ = isatty(STDOUT_FILENO) == 1;
  err_is_terminal_ = isatty(STDERR_FILENO) == 1;
  const char* no_color = std::getenv("NO_COLOR");  // no-color.org
  colours_ = no_color == nullptr || *no_color == '\0';
}

int Console::width() const {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

void Console::print(std::string_view text) {
  if (out_is_terminal_ && err_is_terminal_) erase_bar();
  errno = 0;
  const size_t written = std::fwrite(text.data(), 1, text.size(), stdout);
  if (written != text.size() || std::fflush(stdout) != 0) throw_io("standard output cannot be written: {}", std::strerror(errno));
}

void Console::note(std::string_view text) {
  erase_bar();
  std::string line(text);
  line += '\n';
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void Console::erase_bar() {
  if (!bar_shown_) return;
  std::fputs("\r\033[K", stderr);
  bar_shown_ = false;
}

void Console::draw_bar(const std::string& text) {
  std::fprintf(stderr, "\r%s\033[K", text.c_str());
  std::fflush(stderr);
  bar_shown_ = true;
}

Progress::Progress(Console& console, std::string label, int64_t total, std::string unit)
    : console_(console), label_(std::move(label)), unit_(std::move(unit)), total_(total) {}

std::string Progress::text(int64_t done, std::string_view remark, int width) const {
  const double elapsed = seconds();
  const double rate = elapsed > 0 ? static_cast<double>(done - first_done_) / elapsed : 0;
  std::string tail;
  if (rate > 0) tail += fmt::format("  {:.{}f} {}/s", rate, rate < 10 ? 2 : 0, unit_);
  if (rate > 0 && total_ > done) tail += fmt::format("  {} left", duration_text(static_cast<double>(total_ - done) / rate));
  if (!remark.empty()) tail += fmt::format("  {}", remark);
  if (total_ <= 0) return fmt::format("{}  {} {}{}", label_, done, unit_, tail);
  const double share = std::clamp(static_cast<double>(done) / static_cast<double>(total_), 0.0, 1.0);
  if (width == 0) return fmt::format("{} {:3.0f}% ({} of {}){}", label_, 100 * share, done, total_, tail);
  const int room = std::clamp(width - columns(label_) - columns(tail) - 10, 0, 40);
  std::string bar;
  if (room >= 6) {
    const int filled = static_cast<int>(share * room);
    bar = " [";
    for (int i = 0; i < room; ++i) bar += i < filled ? "=" : (i == filled ? ">" : " ");
    bar += "]";
  }
  return cut(fmt::format("{}{} {:3.0f}%{}", label_, bar, 100 * share, tail), width - 1);
}

void Progress::update(int64_t done, std::string_view remark) {
  const auto now = Clock::now();
  if (!started_) {
    started_ = true;
    first_done_ = done;
    start_ = now;
  }
  if (console_.err_is_terminal_) {
    if (std::chrono::duration<double>(now - drawn_).count() < kRedrawSeconds && done < total_) return;
    drawn_ = now;
    console_.draw_bar(text(done, remark, console_.width()));
  } else if (seconds() >= next_line_) {
    next_line_ = seconds() + std::min(kLongestLineInterval, std::max(2.0, seconds()));
    console_.note(text(done, remark, 0));
  }
}

void Progress::finish() { console_.erase_bar(); }

}  // namespace tenfold::cli
