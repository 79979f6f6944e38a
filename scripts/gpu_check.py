"""The steps of scripts/gpu-check, which builds and then calls this with a device (cuda or simt) and the JSON's path."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

TESTS, BENCH = "build/release/tests/assay_tests", "build/release/tests/assay_bench"
# GB/s and dense bf16 TFLOP/s, NVIDIA's data sheets; by a part of the name that nvidia-smi prints.
CARDS = {"H100": (3350, 989), "H200": (4800, 989), "A100": (2039, 312), "4090": (1008, 165), "L4": (300, 121)}
# A shape's parameters without the embedding, and bytes of keys and values a position (bf16).
SHAPES = {"R1-Distill-Qwen-1.5B": (1.54e9, 28 * 2 * 256 * 2), "R1-Distill-Qwen-7B": (7.07e9, 28 * 2 * 512 * 2),
          "R1-Distill-Qwen-32B": (31.98e9, 64 * 2 * 1024 * 2)}
BITS = {"Q4_K": 4.625, "Q8_0": 8.5, "BF16": 16}


def run(command, **environment):
    result = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, **environment))
    return result.returncode, result.stdout, result.stderr


def describe(device):
    commit = run(["git", "describe", "--always", "--dirty", "--abbrev=12"])[1].strip()
    gpu = "none: the kernels are emulated"
    if device == "cuda" and shutil.which("nvidia-smi"):
        gpu = run(["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"])[1].strip()
    return {"commit": commit, "device": device, "gpu": gpu, "date": time.strftime("%Y-%m-%d")}


def run_tests(device):
    """Every operation against f64, whole models against the CPU, the same tokens for every batch limit."""
    code, text, _ = run([TESTS, f"--gtest_filter=Device*/*/{device}*"])
    tests = []
    for name, body, verdict in re.findall(r"\[ RUN      \] (\S+)\n(.*?)\[ +(OK|FAILED|SKIPPED) +\]", text, re.S):
        notes = [line for line in body.splitlines() if "largest" in line or "Failure" in line or "cuda:" in line]
        tests.append({"name": name.split("/", 1)[1], "verdict": verdict, "notes": notes[:4]})
    return {"exit_code": code, "tests": tests}


def measure(device, model, benchmark):
    code, text, error = run([BENCH, f"--benchmark_filter={benchmark}", "--benchmark_format=json",
                             "--benchmark_min_time=0.2"], ASSAY_BENCH_MODEL=model, ASSAY_BENCH_DEVICE=device)
    if code != 0:
        return {"error": (error.strip().splitlines() or ["it failed"])[-1]}
    return {run["name"].removesuffix("/real_time"): run["items_per_second"] for run in json.loads(text)["benchmarks"]}


def kernels(device, gpu, gemm=""):
    """Each operation in the shapes of the 32B model: its time, and the share that the roofline of the card is of it."""
    card = next((name for name in CARDS if name in gpu), None)
    code, text, error = run([BENCH, "--benchmark_filter=^Device" + ("Linear/2/" if gemm else ""),
                             "--benchmark_format=json", "--benchmark_min_time=0.05"],
                            ASSAY_BENCH_DEVICE=device, ASSAY_BENCH_GEMM=gemm)
    if code != 0:
        return {"error": (error.strip().splitlines() or ["it failed"])[-1]}
    results = {}
    for one in json.loads(text)["benchmarks"]:
        name = one["name"].removesuffix("/manual_time") + (" " + one["label"] if one.get("label") else "")
        if one.get("error_occurred"):
            results[name] = {"error": one["error_message"]}
            continue
        time_s = one["real_time"] / 1e6
        results[name] = {"time_us": round(one["real_time"], 1), "gb_per_s": round(one["bytes"] / time_s / 1e9, 1),
                         "tflop_per_s": round(one["operations"] / time_s / 1e12, 2)}
        if card:
            bound_s = max(one["bytes"] / (CARDS[card][0] * 1e9), one["operations"] / (CARDS[card][1] * 1e12))
            results[name]["share_of_roofline"] = round(bound_s / time_s, 3)
    return results


def roofline(card, shape, kind, rows):
    """Tokens a second that memory allows: weights once a step, 192 positions a row."""
    parameters, kv_bytes = SHAPES[shape]
    step_s = (parameters * BITS[kind] / 8 + rows * 192 * kv_bytes) / (CARDS[card][0] * 1e9)
    return rows / step_s


def benchmarks(device, gpu):
    if device == "simt":
        yield "builtin", measure(device, "engine/builtin", "EngineDecode/8/16/4")
        return
    card = next((name for name in CARDS if name in gpu), None)
    yield "builtin", measure(device, "engine/builtin", "EngineDecode/64/128/128")
    for shape in SHAPES:
        for kind in BITS:
            rates = measure(device, f"{shape}:{kind}", "EngineDecode/(1|64|256)/128/128|EnginePrefill/512")
            for name, rate in list(rates.items()):
                if card and name.startswith("EngineDecode"):
                    share = rate / roofline(card, shape, kind, int(name.split("/")[1]))
                    rates[name] = {"tokens_per_s": rate, "share_of_memory_roofline": round(share, 3)}
            yield f"{shape} {kind}", rates


VLLM = """
import json, sys, time
from vllm import LLM, SamplingParams
model, sequences = sys.argv[1], [int(n) for n in sys.argv[2].split(",")]
engine = LLM(model=model, load_format="dummy", skip_tokenizer_init=True, dtype="bfloat16", max_model_len=2048)
params = SamplingParams(temperature=0.6, top_p=0.95, max_tokens=128, min_tokens=128, ignore_eos=True, detokenize=False)
rates = {}
for count in sequences:
    prompts = [{"prompt_token_ids": [7 * i % 1000 + 5 for i in range(128)]}] * count
    engine.generate(prompts, params)
    begin = time.monotonic()
    engine.generate(prompts, params)
    rates[str(count)] = count * 128 / (time.monotonic() - begin)
print("RATES " + json.dumps(rates))
"""


def beside_vllm(device):
    """Random weights in the same shape, BF16, in vLLM: tokens/s at 1, 64 and 256 sequences."""
    if device == "simt" or run([sys.executable, "-c", "import vllm"])[0] != 0:
        return "vLLM is not installed: not compared"
    with tempfile.TemporaryDirectory() as folder:
        config = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 3584,
                  "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
                  "num_key_value_heads": 4, "vocab_size": 152064, "max_position_embeddings": 131072,
                  "rms_norm_eps": 1e-6, "rope_theta": 1e6, "torch_dtype": "bfloat16", "tie_word_embeddings": False,
                  "hidden_act": "silu", "eos_token_id": 151643, "bos_token_id": 151646}
        with open(folder + "/config.json", "w") as file:
            json.dump(config, file)
        code, text, error = run([sys.executable, "-c", VLLM, folder, "1,64,256"])
    rates = re.search(r"^RATES (.*)$", text, re.M)
    if not rates:
        return "vLLM failed: " + (error.strip().splitlines() or ["no message"])[-1]
    return {"R1-Distill-Qwen-7B BF16, tokens/s by sequences": json.loads(rates.group(1))}


def main():
    device, out = sys.argv[1:3]
    begin = time.monotonic()
    report = describe(device)

    def save():  # after each step: what was measured stays when the rest is cut off
        report["wall_s"] = round(time.monotonic() - begin, 1)
        with open(out, "w") as file:
            json.dump(report, file, indent=1)

    report["checks"] = run_tests(device)
    save()
    report["kernels"] = kernels(device, report["gpu"])
    report["kernels_cublaslt"] = kernels(device, report["gpu"], gemm="1")
    report["tokens_per_s"] = {}
    for name, rates in benchmarks(device, report["gpu"]):
        report["tokens_per_s"][name] = rates
        save()
    report["vllm"] = beside_vllm(device)
    save()

    print(f"assay {report['commit']}, {report['date']}, device {device}: {report['gpu']}\n")
    for test in report["checks"]["tests"]:
        print(f"  {test['verdict']:8} {test['name']}")
        for note in test["notes"]:
            print(f"           {note}")
    for title, key in (("kernels, shapes of the 32B model", "kernels"), ("products by cuBLASLt", "kernels_cublaslt")):
        print(f"\n{title}")
        for name, figures in report[key].items():
            print(f"  {name}  " + (figures if isinstance(figures, str) else
                                   ", ".join(f"{value} {what}" for what, value in figures.items())))
    print("\ntokens/s")
    for name, rates in report["tokens_per_s"].items():
        for benchmark, rate in rates.items():
            print(f"  {name}  {benchmark}  {rate if not isinstance(rate, float) else round(rate, 1)}")
    print(f"\n{report['vllm']}\n{report['wall_s']} s; the same in {out}")
    ran = [test for test in report["checks"]["tests"] if test["verdict"] != "SKIPPED"]
    if not ran:
        print("gpu-check: every check was skipped; there is no usable GPU", file=sys.stderr)
    sys.exit(report["checks"]["exit_code"] or (0 if ran else 1))


if __name__ == "__main__":
    main()
