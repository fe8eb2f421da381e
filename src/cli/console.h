#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace tenfold::cli {

/// Where a person reads: results on stdout, notes and progress on stderr. Colours only on a terminal and without NO_COLOR.
class Console {
 public:
  Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  bool out_is_terminal() const { return out_is_terminal_; }
  bool err_is_terminal() const { return err_is_terminal_; }
  bool out_colours() const { return out_is_terminal_ && colours_; }
  bool err_colours() const { return err_is_terminal_ && colours_; }
  /// Columns of the terminal behind stderr; 80 when unknown.
  int width() const;

  /// Text for stdout as it is. IoError when it cannot be written (a full disk behind a redirection); a closed pipe ends the
  /// program quietly.
  void print(std::string_view text);
  void line(std::string_view text) { print(std::string(text) + "\n"); }
  /// One line for stderr; a progress bar that is shown is cleared first.
  void note(std::string_view text);

 private:
  friend class Progress;
  void erase_bar();
  void draw_bar(const std::string& text);

  bool out_is_terminal_ = false;
  bool err_is_terminal_ = false;
  bool colours_ = true;
  bool bar_shown_ = false;
};

/// Progress of one long task: a bar with rate and time left on a terminal (at most ten redraws a second), plain lines at growing
/// intervals (2 s to 30 s) elsewhere.
class Progress {
 public:
  /// `unit` is what `done` counts, such as tokens. total 0: unknown.
  Progress(Console& console, std::string label, int64_t total, std::string unit);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() { finish(); }

  /// `remark` stands at the end of the line, such as "loss 2.310".
  void update(int64_t done, std::string_view remark = {});
  /// Clears the bar. Nothing is printed: the caller says what came of it.
  void finish();
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  std::string text(int64_t done, std::string_view remark, int width) const;

  Console& console_;
  std::string label_;
  std::string unit_;
  int64_t total_;
  int64_t first_done_ = 0;  ///< what was done already at the first update does not count for the rate
  bool started_ = false;
  Clock::time_point start_ = Clock::now();
  Clock::time_point drawn_{};
  double next_line_ = 2;
};

}  // namespace tenfold::cli
