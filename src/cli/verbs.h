#pragma once

#include "cli/verb.h"

#include <memory>

namespace tenfold::cli {

std::unique_ptr<Verb> make_train_verb();
std::unique_ptr<Verb> make_eval_needle_verb();
std::unique_ptr<Verb> make_eval_passkey_verb();
std::unique_ptr<Verb> make_eval_topic_verb();
std::unique_ptr<Verb> make_eval_mmlu_verb();
std::unique_ptr<Verb> make_eval_longbench_verb();
std::unique_ptr<Verb> make_eval_longbench2_verb();
std::unique_ptr<Verb> make_eval_infbench_verb();
std::unique_ptr<Verb> make_eval_generation_verb();
std::unique_ptr<Verb> make_eval_ruler_verb();
std::unique_ptr<Verb> make_eval_latent_verb();
std::unique_ptr<Verb> make_eval_many_shot_verb();
std::unique_ptr<Verb> make_eval_ppl_verb();
std::unique_ptr<Verb> make_eval_score_verb();
std::unique_ptr<Verb> make_eval_all_verb();
std::unique_ptr<Verb> make_eval_compare_verb();
std::unique_ptr<Verb> make_generate_verb();
std::unique_ptr<Verb> make_chat_verb();
std::unique_ptr<Verb> make_data_synth_verb();
std::unique_ptr<Verb> make_data_stats_verb();
std::unique_ptr<Verb> make_data_show_verb();
std::unique_ptr<Verb> make_data_extract_verb();
std::unique_ptr<Verb> make_plan_verb();
std::unique_ptr<Verb> make_bench_ceilings_verb();
std::unique_ptr<Verb> make_bench_step_verb();
std::unique_ptr<Verb> make_bench_prefill_verb();
std::unique_ptr<Verb> make_bench_decode_verb();
std::unique_ptr<Verb> make_bench_tokenize_verb();
std::unique_ptr<Verb> make_tokenize_verb();
std::unique_ptr<Verb> make_logits_verb();
std::unique_ptr<Verb> make_report_verb();

}  // namespace tenfold::cli
