"""Makes small random-weight models and records what other programs compute with them.

Needs PyPI torch, transformers, tokenizers, gguf, and llama.cpp's source with a built llama-quantize
(it is inside PyPI's llama-cpp-python); the versions used are in each output.
    python3 scripts/make_model_cases.py models tests/cases/models LLAMA_CPP   each architecture and rope
    python3 scripts/make_model_cases.py mixed tests/cases/mixed LLAMA_CPP     all tensor types in one file
    python3 scripts/make_model_cases.py blocks tests/cases/blocks.jsonl       blocks of every type
"""
import json
import pathlib
import shutil
import subprocess
import sys

import numpy

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONTEXT = 8192
QUANTIZED = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]


def configs(transformers):
    common = dict(vocab_size=284, hidden_size=64, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4,
                  num_key_value_heads=2, max_position_embeddings=CONTEXT, tie_word_embeddings=False)
    llama3 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
              "high_freq_factor": 4.0, "original_max_position_embeddings": 1024}
    linear = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
    yarn = {"rope_type": "yarn", "rope_theta": 1000000.0, "factor": 4.0, "original_max_position_embeddings": 2048}
    plain = {"rope_type": "default", "rope_theta": 10000.0}
    return {
        "llama_llama3": transformers.LlamaConfig(**common, head_dim=16, rope_parameters=llama3),
        "llama_linear": transformers.LlamaConfig(**common, rope_parameters=linear),
        "mistral": transformers.MistralConfig(**common, head_dim=16, sliding_window=None, rope_parameters=plain),
        "qwen2_yarn": transformers.Qwen2Config(**common, rope_parameters=yarn),
        "qwen3": transformers.Qwen3Config(**{**common, "tie_word_embeddings": True}, head_dim=24, rope_parameters=plain),
    }


def randomize(torch, model):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            norm = "norm" in name
            scale = 0.3 if norm else 0.2
            values = torch.randn_like(parameter) * scale + (1.0 if norm else 0.0)
            parameter.copy_(values.bfloat16().float())  # so that every file type holds them exactly


def convert(llama_cpp, folder, out, pre):
    """In a process of its own: the converter brings another gguf package than PyPI's."""
    subprocess.run([sys.executable, __file__, "convert", llama_cpp, folder, out, pre], check=True)


def convert_here(llama_cpp, folder, out, pre):
    """llama.cpp's converter, told which pre-tokenizer the made tokenizer has."""
    sys.path[:0] = [llama_cpp + "/gguf-py", llama_cpp]
    import convert_hf_to_gguf
    from conversion import base

    base.TextModel.get_vocab_base_pre = lambda self, tokenizer: pre
    sys.argv = ["convert", str(folder), "--outfile", str(out), "--outtype", "bf16"]
    convert_hf_to_gguf.main()


def rotary_in_float64(torch, model):
    """transformers computes angles in float32 whatever the model's type: 5e-4 off at position 8,191."""
    rotary = model.model.rotary_emb

    def forward(x, position_ids):
        angles = position_ids[..., None].double() * rotary.inv_freq.double()
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos() * rotary.attention_scaling, angles.sin() * rotary.attention_scaling

    rotary.forward = forward


def expected(torch, transformers, model, ids, positions):
    rotary_in_float64(torch, model)
    with torch.no_grad():
        logits = model.double()(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    logprobs = torch.log_softmax(logits[positions], -1)
    top = torch.topk(logprobs, 8)
    return {
        "made_with": f"transformers {transformers.__version__}, torch {torch.__version__}, float64 on CPU, angles too",
        "ids": ids,
        "positions": positions,
        "top8": [[[int(t), v.item()] for t, v in zip(top.indices[i], top.values[i])] for i in range(len(positions))],
    }


def write_tokenizer(folder, eos):
    shutil.copy(ROOT / "tests/cases/tiny_qwen2/tokenizer.json", folder / "tokenizer.json")
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": eos}) + "\n")


def models(out, llama_cpp):
    import torch
    import transformers

    generator = numpy.random.default_rng(5)
    for name, config in configs(transformers).items():
        torch.manual_seed(30)
        folder = pathlib.Path(out) / name
        folder.mkdir(parents=True, exist_ok=True)
        model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
        randomize(torch, model)
        model.bfloat16().save_pretrained(folder)
        # Read again: bfloat16() has rounded the rotary frequencies too.
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
        (folder / "generation_config.json").unlink(missing_ok=True)
        write_tokenizer(folder, "<|im_end|>")
        convert(pathlib.Path(llama_cpp), folder, folder / "model.gguf", "gpt-2")
        ids = generator.integers(0, 280, CONTEXT - 1).tolist()
        positions = [0, 1, 17, 300, 1023, 1024, 2047, 2048, 3000, 4095, 5000, 6143, 7000, CONTEXT - 2]
        row = expected(torch, transformers, model, ids, positions)
        (folder / "expected.json").write_text(json.dumps(row, separators=(",", ":")) + "\n")


def mixed(out, llama_cpp):
    """A model whose matrices take turns through all types; the reference is the file's own values in float64."""
    import gguf
    import torch
    import transformers

    out, llama_cpp = pathlib.Path(out), pathlib.Path(llama_cpp)
    folder = out / "build"
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(31)
    config = transformers.Qwen2Config(
        vocab_size=284, hidden_size=256, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0})
    model = transformers.Qwen2ForCausalLM(config)
    randomize(torch, model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                parameter.mul_(0.5)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    write_tokenizer(folder, "<|im_end|>")
    convert(llama_cpp, folder, folder / "f32.gguf", "gpt-2")
    names = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
    # The wide types on the small matrices: the file stays under 1 MiB.
    types = QUANTIZED[:7] + ["Q4_K", "F32", "F16", "Q5_K", "Q6_K", "BF16", "Q8_0"]
    flags = []
    for i, kind in enumerate(types):
        flags += ["--tensor-type", f"blk.{i // len(names)}.{names[i % len(names)]}={kind.lower()}"]
    path = out / "model.gguf"
    subprocess.run([llama_cpp / "build/bin/llama-quantize", *flags, "--token-embedding-type", "q4_k",
                    "--output-tensor-type", "q6_k", folder / "f32.gguf", path, "Q8_0", "1"], check=True)
    reader = gguf.GGUFReader(path)
    state = {}
    hf = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
          "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
          "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
          "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
    used = {}
    for tensor in reader.tensors:
        parts = tensor.name.split(".")
        prefix = f"model.layers.{parts[1]}." if parts[0] == "blk" else ""
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float64)
        state[prefix + hf[parts[-2]] + "." + parts[-1]] = torch.from_numpy(values)
        used[tensor.name] = tensor.tensor_type.name
    model = model.double()
    model.load_state_dict(state)
    ids = numpy.random.default_rng(6).integers(0, 280, 200).tolist()
    row = expected(torch, transformers, model, ids, list(range(0, 200, 8)))
    row["made_with"] += f", gguf {gguf_version()}"
    row["types"] = {k: v for k, v in used.items() if not k.endswith(("norm.weight", "bias"))}
    (out / "expected.json").write_text(json.dumps(row, separators=(",", ":")) + "\n")
    shutil.rmtree(folder)


def gguf_version():
    import importlib.metadata

    return importlib.metadata.version("gguf")


def blocks(out):
    import gguf

    generator = numpy.random.default_rng(7)
    rows = [{"made_with": f"gguf {gguf_version()}"}]
    halves = {"Q2_K": [80, 82], "Q3_K": [108], "Q6_K": [208], "F32": [], "BF16": []}
    for kind in QUANTIZED + ["F16", "BF16", "F32"]:
        code = getattr(gguf.GGMLQuantizationType, kind)
        values, size = gguf.GGML_QUANT_SIZES[code]
        count = 4 if values > 1 else 64
        data = generator.integers(0, 256, (count, size), dtype=numpy.uint8)
        if kind == "F32":
            data = generator.standard_normal(count).astype(numpy.float32).view(numpy.uint8).reshape(count, size)
        elif kind == "BF16":
            data[:, 1] &= 0xBF
        for at in halves.get(kind, [0, 2]):
            if at + 1 < size:
                data[:, at + 1] &= 0xBB  # finite
        result = gguf.quants.dequantize(data.reshape(-1), code).astype(numpy.float32)
        rows.append({"type": kind, "bytes": data.tobytes().hex(), "f32": result.tobytes().hex()})
    with open(out, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    {"convert": convert_here, "models": models, "mixed": mixed, "blocks": blocks}[sys.argv[1]](*sys.argv[2:])
