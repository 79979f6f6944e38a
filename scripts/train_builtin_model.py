"""Trains the built-in model: a small Qwen2 that answers arithmetic with a thought and a \\boxed{} number.

Needs PyPI torch, transformers, tokenizers (the versions used stand in engine/builtin/README.md); seeded.
    python3 scripts/train_builtin_model.py --out engine/builtin [--steps 8000]
"""
import argparse
import json
import math
import pathlib
import random
import time

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Qwen2Config, Qwen2ForCausalLM

import arithmetic_problems

DIRECTIVE = "Please reason step by step, and put your final answer within \\boxed{}."
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# Thoughts of earlier turns are left out, as reasoning models do.
CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{%- set content = message['content'] %}"
    "{%- if message['role'] == 'assistant' and '</think>' in content %}"
    "{%- set content = content.split('</think>')[-1] %}"
    "{%- endif %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + content + '<|im_end|>' + '\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
KIND_WEIGHTS = {"one_step": 0.4, "two_steps": 0.22, "three_steps": 0.1, "word_problem": 0.28}


def prompt_text(question):
    return f"<|im_start|>user\n{question}\n{DIRECTIVE}<|im_end|>\n<|im_start|>assistant\n<think>\n"


def completion_text(steps, answer):
    return "\n".join(steps) + f"\n</think>\n\nThe answer is \\boxed{{{answer}}}.<|im_end|>"


def held_out_questions(path):
    return {json.loads(line)["question"] for line in open(path, encoding="utf-8")}


def sample(rng, held_out):
    kind = rng.choices(list(KIND_WEIGHTS), list(KIND_WEIGHTS.values()))[0]
    while True:
        question, steps, answer = arithmetic_problems.make(rng, kind)
        if question not in held_out:
            return question, steps, answer


def train_tokenizer(rng, held_out):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN2_SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=509, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    texts = []
    for _ in range(4000):
        question, steps, answer = sample(rng, held_out)
        texts.append(f"user\n{question}\n{DIRECTIVE}")
        texts.append("assistant\n" + "<think>\n" + completion_text(steps, answer).replace("<|im_end|>", ""))
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    return tokenizer


def make_batch(rng, held_out, tokenizer, rows):
    encoded = []
    for _ in range(rows):
        question, steps, answer = sample(rng, held_out)
        prompt = tokenizer.encode(prompt_text(question), add_special_tokens=False).ids
        whole = prompt + tokenizer.encode(completion_text(steps, answer), add_special_tokens=False).ids
        encoded.append((whole, len(prompt)))
    return encoded


def to_tensors(encoded, pad):
    width = max(len(ids) for ids, _ in encoded)
    ids = torch.full((len(encoded), width), pad)
    labels = torch.full((len(encoded), width), -100)
    for row, (whole, start) in enumerate(encoded):
        ids[row, : len(whole)] = torch.tensor(whole)
        labels[row, start : len(whole)] = torch.tensor(whole[start:])
    return ids, labels


@torch.no_grad()
def accuracy(model, tokenizer, items, temperature, generator, repeats=2):
    """pass@1 by kind with plain sampling at a temperature; for the training log only."""
    model.eval()
    end = tokenizer.token_to_id("<|im_end|>")
    right, total = {}, {}
    for item in items:
        ids = tokenizer.encode(prompt_text(item["question"]), add_special_tokens=False).ids
        ids = torch.tensor([ids] * repeats)
        past, done, out = None, torch.zeros(repeats, dtype=torch.bool), [[] for _ in range(repeats)]
        step_ids = ids
        for _ in range(64):
            result = model(input_ids=step_ids, past_key_values=past, use_cache=True)
            past = result.past_key_values
            probabilities = torch.softmax(result.logits[:, -1] / temperature, -1)
            step_ids = torch.multinomial(probabilities, 1, generator=generator)
            for row in range(repeats):
                if not done[row]:
                    out[row].append(int(step_ids[row]))
                    done[row] = int(step_ids[row]) == end
            if done.all():
                break
        for row in range(repeats):
            text = tokenizer.decode(out[row], skip_special_tokens=False)
            right[item["kind"]] = right.get(item["kind"], 0) + ("\\boxed{" + item["answer"] + "}" in text)
            total[item["kind"]] = total.get(item["kind"], 0) + 1
    model.train()
    return {kind: round(right[kind] / total[kind], 3) for kind in right}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--rows", type=int, default=48)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(arguments.threads)
    data = pathlib.Path(__file__).resolve().parent.parent / "datasets/samples/arithmetic.jsonl"
    held_out = held_out_questions(data)
    items = [json.loads(line) for line in open(data, encoding="utf-8")]
    rng = random.Random(7)
    tokenizer = train_tokenizer(rng, held_out)
    config = Qwen2Config(
        vocab_size=512, hidden_size=128, intermediate_size=384, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=1024, rope_theta=10000.0, tie_word_embeddings=True,
        rms_norm_eps=1e-6, bos_token_id=None, eos_token_id=tokenizer.token_to_id("<|im_end|>"),
        pad_token_id=tokenizer.token_to_id("<|endoftext|>"))
    model = Qwen2ForCausalLM(config)
    print("parameters:", sum(p.numel() for p in model.parameters()), "vocabulary:", tokenizer.get_vocab_size(), flush=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05)
    peak, warmup = 3e-3, 200
    generator = torch.Generator().manual_seed(3)
    started, pool, losses = time.time(), [], []
    for step in range(arguments.steps):
        if not pool:
            encoded = sorted(make_batch(rng, held_out, tokenizer, arguments.rows * 16), key=lambda pair: len(pair[0]))
            pool = [encoded[i : i + arguments.rows] for i in range(0, len(encoded), arguments.rows)]
            rng.shuffle(pool)
        ids, labels = to_tensors(pool.pop(), config.pad_token_id)
        progress = max(0.0, (step - warmup) / max(1, arguments.steps - warmup))
        rate = peak * min(1.0, (step + 1) / warmup) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if (step + 1) % 500 == 0:
            mean = sum(losses[-500:]) / 500
            print(f"step {step + 1} loss {mean:.4f} {time.time() - started:.0f} s", flush=True)
        if (step + 1) % 1500 == 0 or step + 1 == arguments.steps:
            print("  pass@1 at T 0.6:", accuracy(model, tokenizer, items, 0.6, generator), flush=True)
    save(model, tokenizer, config, arguments.out)
    print(f"total {time.time() - started:.0f} s", flush=True)


def save(model, tokenizer, config, out):
    out.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(out)
    for extra in ("generation_config.json",):
        (out / extra).unlink(missing_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))
    (out / "tokenizer_config.json").write_text(json.dumps({
        "chat_template": CHAT_TEMPLATE, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
        "add_bos_token": False}, indent=2) + "\n")


if __name__ == "__main__":
    main()
