#include "harness/serve/answers.h"

#include <fmt/format.h>

#include <utility>

#include "harness/base/hash.h"
#include "harness/prompt.h"

namespace assay {

void cancel_all(std::vector<Making>& making) {
  for (Making& one : making) one.sample->cancel();
}

Result<std::vector<std::shared_ptr<const Prompt>>> AnswerMaker::prompts_of(
    const ServeRequest& asked) {
  std::vector<std::shared_ptr<const Prompt>> prompts;
  std::vector<Prompt> made;
  if (asked.chat) {
    ASSAY_TRY(Prompt prompt,
              render_chat(model_, asked.messages, asked.continues_last, asked.enable_thinking));
    made.push_back(std::move(prompt));
  }
  for (const ServeRequest::Text& text : asked.prompts) {
    if (!text.is_ids) {
      made.push_back(encode_prompt(model_, text.text));
      continue;
    }
    Prompt prompt;
    prompt.token_ids = text.ids;
    const int vocab_size = model_.files.config.vocab_size;
    for (const int32_t id : text.ids) {
      if (id >= vocab_size) {
        return Error{
            fmt::format("prompt: token {} is not in the vocabulary of {}", id, vocab_size)};
      }
    }
    prompt.text = model_.tokenizer.decode(text.ids);
    made.push_back(std::move(prompt));
  }
  for (Prompt& prompt : made) {
    const size_t tokens = prompt.token_ids.size();
    const auto context_length = static_cast<size_t>(model_.files.config.context_length);
    if (tokens == 0) return Error{"prompt: is empty"};
    if (tokens >= context_length) {
      return Error{fmt::format("the prompt has {} tokens, the model's context is {}", tokens,
                               context_length)};
    }
    prompts.push_back(board_.shared(std::move(prompt)));
  }
  return prompts;
}

Result<std::vector<Making>> AnswerMaker::begin(const ServeRequest& asked,
                                               const std::function<void()>& on_news, bool* busy) {
  ASSAY_TRY(const auto prompts, prompts_of(asked));
  const PhiloxKey key =
      asked.key ? *asked.key : stream_key(asked.seed ? *asked.seed : seeds_(), "serve", "");
  std::vector<Making> making;
  std::vector<RequestBoard::Entry> entries;
  for (const auto& prompt : prompts) {
    auto sampling = std::make_shared<SamplingParams>(asked.sampling);
    if (sampling->max_tokens == 0) sampling->max_tokens = model_.files.config.context_length;
    for (int i = 0; i < asked.n; ++i) {
      auto sample = std::make_shared<ServedSample>(asked.stream || asked.logprobs, on_news);
      RequestBoard::Entry entry;
      entry.request.id.sample_index = asked.first_sample + i;
      entry.request.prompt = prompt;
      entry.request.sampling = sampling;
      entry.request.key = key;
      entry.sample = sample;
      entries.push_back(std::move(entry));
      ServedChoice choice;
      choice.index = static_cast<int>(making.size());
      making.push_back({std::move(sample), std::move(choice),
                        TextStream(sampling->stop, prompt->opens_thought), prompt,
                        asked.echo ? prompt->text : std::string()});
    }
  }
  *busy = !board_.put(std::move(entries));
  return making;
}

Status AnswerMaker::gather(Making& making, bool logprobs) const {
  ServedChoice& choice = making.choice;
  const bool finished = making.sample->finished();  // before the tokens, so that none is missed
  choice.text += std::exchange(making.echo, {});
  for (const ServedSample::Token& token : making.sample->take_tokens()) {
    std::string bytes;
    if (!model_.tokenizer.is_stop_token(token.id)) model_.tokenizer.append_bytes(token.id, bytes);
    choice.text += making.text.add(bytes);
    if (logprobs) choice.tokens.push_back({std::move(bytes), token.logprob});
  }
  if (!finished) return {};
  const Completion& completion = making.sample->completion();
  if (completion.finish_reason == FinishReason::kError) return Error{completion.error};
  choice.text += making.text.finish(completion.text);
  choice.finish_reason = completion.finish_reason == FinishReason::kStop ? "stop" : "length";
  making.done = true;
  return {};
}

Usage AnswerMaker::usage_of(const std::vector<Making>& making) {
  Usage usage;
  const Prompt* last = nullptr;
  for (const Making& one : making) {
    // The choices of a prompt stand together; it is counted once.
    if (one.prompt.get() != last) {
      usage.prompt_tokens += static_cast<int64_t>(one.prompt->token_ids.size());
    }
    last = one.prompt.get();
    usage.completion_tokens += one.sample->completion().completion_tokens();
  }
  return usage;
}

}  // namespace assay
