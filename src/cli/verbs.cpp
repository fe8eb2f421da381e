#include "cli/verbs.h"

namespace tenfold::cli {

std::vector<std::unique_ptr<Verb>> make_verbs() {
  std::vector<std::unique_ptr<Verb>> verbs;
  verbs.push_back(make_train_verb());
  verbs.push_back(make_eval_needle_verb());
  verbs.push_back(make_eval_passkey_verb());
  verbs.push_back(make_eval_topic_verb());
  verbs.push_back(make_eval_mmlu_verb());
  verbs.push_back(make_eval_longbench_verb());
  verbs.push_back(make_eval_longbench2_verb());
  verbs.push_back(make_eval_infbench_verb());
  verbs.push_back(make_eval_generation_verb());
  verbs.push_back(make_eval_ruler_verb());
  verbs.push_back(make_eval_latent_verb());
  verbs.push_back(make_eval_many_shot_verb());
  verbs.push_back(make_eval_ppl_verb());
  verbs.push_back(make_eval_score_verb());
  verbs.push_back(make_eval_all_verb());
  verbs.push_back(make_eval_compare_verb());
  verbs.push_back(make_generate_verb());
  verbs.push_back(make_chat_verb());
  verbs.push_back(make_data_synth_verb());
  verbs.push_back(make_data_stats_verb());
  verbs.push_back(make_data_show_verb());
  verbs.push_back(make_data_extract_verb());
  verbs.push_back(make_report_verb());
  verbs.push_back(make_plan_verb());
  verbs.push_back(make_bench_ceilings_verb());
  verbs.push_back(make_bench_step_verb());
  verbs.push_back(make_bench_prefill_verb());
  verbs.push_back(make_bench_decode_verb());
  verbs.push_back(make_bench_tokenize_verb());
  verbs.push_back(make_tokenize_verb());
  verbs.push_back(make_logits_verb());
  return verbs;
}

}  // namespace tenfold::cli
