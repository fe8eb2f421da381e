#pragma once

#include "eval/judge.h"

#include <functional>
#include <memory>
#include <string>

namespace tenfold {

struct JudgeEndpointOptions {
  std::string url = {};         ///< http or https: a base such as http://host:8000/v1, or all of it with /chat/completions
  std::string model = {};       ///< as the endpoint calls it
  std::string key = {};         ///< sent as a bearer token; "" sends none
  double timeout_seconds = 60;  ///< of one attempt
  int64_t attempts = 3;         ///< where the endpoint is busy, broken or out of reach
  double pause_seconds = 1;     ///< before the second attempt; twice as long before each further one
  std::function<bool()> should_stop = {};
};

/// A judge behind OpenAI's chat completions protocol: one user message, temperature 0, the first choice's text. Redirections are
/// not followed (the key would go along), replies over 1 MiB are refused.
class JudgeEndpoint final : public Judge {
 public:
  /// InputError on a URL that is neither http nor https, a missing model, a key with control characters.
  explicit JudgeEndpoint(JudgeEndpointOptions options);
  ~JudgeEndpoint() override;
  std::string name() const override;
  JudgeReply ask(const std::string& prompt) override;

 private:
  struct Connection;
  JudgeReply attempt(const std::string& body, bool& again);
  /// False where it was told to stop.
  bool pause(double seconds) const;

  JudgeEndpointOptions options_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace tenfold
