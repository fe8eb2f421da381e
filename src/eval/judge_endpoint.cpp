#include "eval/judge_endpoint.h"

#include "core/error.h"

#include <curl/curl.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

namespace tenfold {
namespace {

constexpr size_t kLongestReply = size_t{1} << 20;
constexpr std::string_view kPath = "/chat/completions";

/// Takes what arrives; anything short of `n` makes the transfer fail.
size_t take(char* data, size_t, size_t n, void* to) {
  auto& body = *static_cast<std::string*>(to);
  if (n > kLongestReply - body.size()) return 0;
  body.append(data, n);
  return n;
}

int asked_to_stop(void* options, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const auto& stop = static_cast<const JudgeEndpointOptions*>(options)->should_stop;
  return stop && stop() ? 1 : 0;
}

std::string beginning(const std::string& text) { return dump_json(text.size() <= 200 ? text : text.substr(0, 200) + " ..."); }

/// What an error's body says: OpenAI's {error: {message}}, else its beginning.
std::string error_text(const std::string& body) {
  if (body.empty()) return "an empty reply";
  try {
    const Json json = parse_json(body, "reply");
    return beginning(json.at("error").at("message").get<std::string>());
  } catch (const std::exception&) {
    return beginning(body);
  }
}

}  // namespace

struct JudgeEndpoint::Connection {
  Connection() : global(curl_global_init(CURL_GLOBAL_DEFAULT)), easy(curl_easy_init()) {
    if (global != CURLE_OK || easy == nullptr) throw_io("libcurl does not start: {}", curl_easy_strerror(global));
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() {
    curl_slist_free_all(headers);
    curl_easy_cleanup(easy);
    curl_global_cleanup();
  }
  void header(const std::string& line) {
    curl_slist* const longer = curl_slist_append(headers, line.c_str());
    if (longer == nullptr) throw std::bad_alloc();
    headers = longer;
  }

  CURLcode global;
  CURL* easy;
  curl_slist* headers = nullptr;
  char error[CURL_ERROR_SIZE] = {};
  std::string reply;
};

JudgeEndpoint::JudgeEndpoint(JudgeEndpointOptions options) : options_(std::move(options)) {
  std::string& url = options_.url;
  if (!url.starts_with("http://") && !url.starts_with("https://")) {
    throw_input("--judge-url: expected http://HOST... or https://HOST..., got \"{}\"", url);
  }
  while (url.ends_with('/')) url.pop_back();
  if (!url.ends_with(kPath)) url += kPath;
  if (options_.model.empty()) throw_input("--judge-model NAME is missing: the name by which {} knows its model", url);
  if (std::any_of(options_.key.begin(), options_.key.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; })) {
    throw_input("--judge-key-file: expected one line without control characters");
  }
  connection_ = std::make_unique<Connection>();
  Connection& c = *connection_;
  c.header("Content-Type: application/json");
  c.header("Expect:");  // some small servers know no 100-continue
  if (!options_.key.empty()) c.header("Authorization: Bearer " + options_.key);
  curl_easy_setopt(c.easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(c.easy, CURLOPT_HTTPHEADER, c.headers);
  curl_easy_setopt(c.easy, CURLOPT_USERAGENT, "tenfold/" TENFOLD_VERSION);
  curl_easy_setopt(c.easy, CURLOPT_ERRORBUFFER, c.error);
  curl_easy_setopt(c.easy, CURLOPT_WRITEFUNCTION, take);
  curl_easy_setopt(c.easy, CURLOPT_WRITEDATA, &c.reply);
  curl_easy_setopt(c.easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(c.easy, CURLOPT_CONNECTTIMEOUT, 10L);
  curl_easy_setopt(c.easy, CURLOPT_TIMEOUT_MS, static_cast<long>(std::clamp(options_.timeout_seconds, 0.001, 1e5) * 1000));
  curl_easy_setopt(c.easy, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(c.easy, CURLOPT_XFERINFOFUNCTION, asked_to_stop);
  curl_easy_setopt(c.easy, CURLOPT_XFERINFODATA, &options_);
}

JudgeEndpoint::~JudgeEndpoint() = default;

std::string JudgeEndpoint::name() const { return fmt::format("{} at {}", options_.model, options_.url); }

bool JudgeEndpoint::pause(double seconds) const {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (Clock::now() < end) {
    if (options_.should_stop && options_.should_stop()) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

JudgeReply JudgeEndpoint::ask(const std::string& prompt) {
  const Json request = {
      {"model", options_.model}, {"messages", Json::array({{{"role", "user"}, {"content", prompt}}})}, {"temperature", 0}};
  const std::string body = dump_json(request);
  double seconds = options_.pause_seconds;
  for (int64_t attempt_number = 1;; ++attempt_number) {
    bool again = false;
    JudgeReply reply = attempt(body, again);
    if (reply.error.empty() || !again || attempt_number >= options_.attempts || !pause(seconds)) return reply;
    seconds *= 2;
  }
}

JudgeReply JudgeEndpoint::attempt(const std::string& body, bool& again) {
  Connection& c = *connection_;
  c.reply.clear();
  c.error[0] = '\0';
  curl_easy_setopt(c.easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  curl_easy_setopt(c.easy, CURLOPT_POSTFIELDS, body.c_str());
  const CURLcode code = curl_easy_perform(c.easy);
  if (code == CURLE_WRITE_ERROR) return {"", fmt::format("the reply is longer than {} bytes", kLongestReply)};
  if (code != CURLE_OK) {
    again = code != CURLE_ABORTED_BY_CALLBACK;
    return {"", c.error[0] != '\0' ? c.error : curl_easy_strerror(code), /*unreachable=*/again};
  }
  long status = 0;
  curl_easy_getinfo(c.easy, CURLINFO_RESPONSE_CODE, &status);
  if (status != 200) {
    again = status == 408 || status == 429 || status >= 500;
    return {"", fmt::format("HTTP {}: {}", status, error_text(c.reply))};
  }
  try {
    const Json reply = parse_json(c.reply, "the judge's reply");
    return {reply.at("choices").at(0).at("message").at("content").get<std::string>(), ""};
  } catch (const std::exception&) {
    return {"", fmt::format("expected {{choices: [{{message: {{content}}}}]}}, got {}", beginning(c.reply))};
  }
}

}  // namespace tenfold
