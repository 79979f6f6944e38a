"""Writes the seeds from which the fuzzers start: small valid files of each format.

    python3 scripts/fuzz_seeds.py FOLDER
"""
import json
import pathlib
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
WIDTH, FFN, HEADS, KV_HEADS, VOCABULARY = 4, 4, 2, 1, 3
U32, F32, STRING, ARRAY, I32 = 4, 6, 8, 9, 5
SHAPES = {  # rows, columns
    "embedding": (VOCABULARY, WIDTH), "norm": (WIDTH,), "q": (WIDTH, WIDTH), "kv": (WIDTH // HEADS * KV_HEADS, WIDTH),
    "output": (WIDTH, WIDTH), "ffn": (FFN, WIDTH), "down": (WIDTH, FFN)}


def count(shape):
    return shape[0] * (shape[1] if len(shape) > 1 else 1)


def gguf_string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def gguf_array(kind, items):
    packed = b"".join(gguf_string(i) if kind == STRING else struct.pack("<i", i) for i in items)
    return struct.pack("<IQ", kind, len(items)) + packed


def gguf(version, alignment=32):
    fields = {
        "general.architecture": (STRING, gguf_string("llama")), "general.alignment": (U32, struct.pack("<I", alignment)),
        "llama.block_count": (U32, struct.pack("<I", 1)), "llama.embedding_length": (U32, struct.pack("<I", WIDTH)),
        "llama.feed_forward_length": (U32, struct.pack("<I", FFN)),
        "llama.attention.head_count": (U32, struct.pack("<I", HEADS)),
        "llama.attention.head_count_kv": (U32, struct.pack("<I", KV_HEADS)),
        "llama.attention.layer_norm_rms_epsilon": (F32, struct.pack("<f", 1e-5)),
        "llama.context_length": (U32, struct.pack("<I", 8)), "llama.rope.freq_base": (F32, struct.pack("<f", 1e4)),
        "tokenizer.ggml.model": (STRING, gguf_string("gpt2")), "tokenizer.ggml.pre": (STRING, gguf_string("qwen2")),
        "tokenizer.ggml.tokens": (ARRAY, gguf_array(STRING, ["a", "b", "ab"])),
        "tokenizer.ggml.token_type": (ARRAY, gguf_array(I32, [1, 1, 1])),
        "tokenizer.ggml.merges": (ARRAY, gguf_array(STRING, ["a b"])),
        "tokenizer.ggml.eos_token_id": (U32, struct.pack("<I", 2)),
        "tokenizer.chat_template": (STRING, gguf_string("{{ messages[0].content }}")),
    }
    tensors = {"token_embd.weight": "embedding", "output_norm.weight": "norm"}
    for name, shape in (("attn_norm", "norm"), ("ffn_norm", "norm"), ("attn_q", "q"), ("attn_k", "kv"), ("attn_v", "kv"),
                        ("attn_output", "output"), ("ffn_gate", "ffn"), ("ffn_up", "ffn"), ("ffn_down", "down")):
        tensors[f"blk.0.{name}.weight"] = shape
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(fields))
    for key, (kind, value) in fields.items():
        out += gguf_string(key) + struct.pack("<I", kind) + value
    offset = 0
    for name, shape in tensors.items():
        dims = SHAPES[shape][::-1]
        out += gguf_string(name) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", d) for d in dims)
        out += struct.pack("<IQ", 0, offset)
        offset += (4 * count(SHAPES[shape]) + alignment - 1) // alignment * alignment
    return out + bytes(-len(out) % alignment) + bytes(offset)


def safetensors(dtype, size_bytes):
    layer = {"input_layernorm": "norm", "post_attention_layernorm": "norm", "self_attn.q_proj": "q",
             "self_attn.k_proj": "kv", "self_attn.v_proj": "kv", "self_attn.o_proj": "output", "mlp.gate_proj": "ffn",
             "mlp.up_proj": "ffn", "mlp.down_proj": "down"}
    names = {"model.embed_tokens.weight": "embedding", "model.norm.weight": "norm"}
    names.update({f"model.layers.0.{name}.weight": shape for name, shape in layer.items()})
    header, offset = {}, 0
    for name, shape in names.items():
        end = offset + size_bytes * count(SHAPES[shape])
        header[name] = {"dtype": dtype, "shape": list(SHAPES[shape]), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(offset)


def tokenizer_json():
    return {
        "version": "1.0", "normalizer": {"type": "NFC"},
        "added_tokens": [{"id": 4, "content": "<s>", "special": True, "normalized": False}],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": {"T": 0, "h": 1, "e": 2, "Th": 3}, "merges": [["T", "h"]]}}


def main(folder):
    def write(target, name, data):
        path = pathlib.Path(folder) / target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    cases = (ROOT / "tests/cases/math_equal.jsonl").read_text().splitlines()
    for i, case in enumerate(map(json.loads, cases)):
        write("math", str(i), f"{case['gold']}\n{case['answer']}".encode())
    for name in ("bbh", "judgments", "choice"):
        for i, case in enumerate((ROOT / f"tests/cases/{name}.jsonl").read_text().splitlines()):
            write("answers", f"{name}-{i}", json.loads(case)["text"].encode())
    chat = {"messages": [{"role": "system", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "b"}]}],
            "n": 2, "temperature": 0.6, "top_p": 0.95, "top_k": 20, "min_p": 0.1, "max_completion_tokens": 9, "seed": 1,
            "stop": ["x"], "logprobs": True, "stream": True, "stream_options": {"include_usage": True},
            "philox": {"key": [1, 2], "sample_index": 3}, "chat_template_kwargs": {"enable_thinking": False}}
    write("serve", "chat", json.dumps(chat).encode())
    write("serve", "text", json.dumps({"prompt": ["a", [1, 2]], "echo": True, "max_tokens": 2, "stop": "y"}).encode())
    reply = {"choices": [{"message": {"content": "b", "reasoning_content": "t"}, "finish_reason": "stop"}],
             "usage": {"prompt_tokens": 1, "completion_tokens": 2}, "error": {"message": "m"}}
    write("serve", "reply", json.dumps(reply).encode())
    for path in sorted((ROOT / "suites").glob("*.json")):
        write("suite", path.stem, path.read_bytes())
    for path in sorted((ROOT / "datasets/samples").glob("*/*")):
        write("suite", path.stem + path.suffix, path.read_bytes())
    for version in (2, 3):
        write("gguf", f"v{version}", gguf(version))
    for dtype, size_bytes in (("F32", 4), ("F16", 2), ("BF16", 2)):
        write("safetensors", dtype, safetensors(dtype, size_bytes))
    write("tokenizer_json", "small", json.dumps(tokenizer_json()).encode())
    write("tokenizer_json", "tiny", (ROOT / "tests/cases/tiny_qwen2/tokenizer.json").read_bytes())
    for i, line in enumerate((ROOT / "tests/cases/chat_templates.jsonl").read_text().splitlines()):
        if "source" in (row := json.loads(line)):
            write("jinja", str(i), row["source"].encode())


if __name__ == "__main__":
    main(sys.argv[1])
