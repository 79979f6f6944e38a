"""Simulates a run of all reasoning suites for a 70B model on 1 to 1,024 GPUs: hours, and what the long tail costs.

    python3 scripts/simulate_shards.py          prints the tables of scripts/slurm/README.md
A GPU holds the weights and as many sequences as its KV cache has room for; a step takes the time to read the weights once
and every sequence's keys and values (memory's roof, no more). Lengths are drawn from log-normal distributions cut at the
limit; their means are assumptions, stated below, not measurements.
"""
import heapq
import math
import random

LIMIT = 32768
# suite: questions, samples a question, mean tokens of a completion (assumed), sigma of their logarithm (assumed)
SUITES = {"math500": (500, 64, 3500, 0.8), "aime24": (30, 64, 11000, 0.7), "aime25": (30, 64, 12000, 0.7),
          "gpqa_diamond": (198, 64, 7000, 0.7), "livecodebench": (279, 16, 10000, 0.8), "codeforces": (408, 8, 12000, 0.8),
          "humaneval": (164, 64, 4000, 0.8), "mmlu_pro": (12032, 1, 2000, 0.8), "bbh": (6511, 1, 1500, 0.7),
          "ifeval": (541, 1, 1500, 0.7), "musr": (756, 1, 2000, 0.7)}
WEIGHTS_BYTES = 75.0e9            # Q8_0 of 70.6 B parameters
KV_BYTES = 2 * 80 * 8 * 128 * 2   # a token: keys and values, 80 layers, 8 heads of 128, bf16
MEMORY_BYTES, BANDWIDTH = 141e9 * 0.9 - 0.75e9, 4.8e12  # an H200
START_S = 60                      # loading the weights
KV_TOKENS = (MEMORY_BYTES - WEIGHTS_BYTES) / KV_BYTES


def lengths(suite, rng):
    questions, samples, mean, sigma = SUITES[suite]
    mu = math.log(mean) - sigma * sigma / 2
    out = []
    for _ in range(questions):
        # A question's samples are alike: half of the variance is the question's.
        own = rng.gauss(0, sigma / math.sqrt(2))
        out += [min(LIMIT, max(50, int(math.exp(mu + own + rng.gauss(0, sigma / math.sqrt(2)))))) for _ in range(samples)]
    return out


def gpu_seconds(samples):
    """Continuous batching on one GPU: samples begin in order, as long as the cache has room for what they have so far."""
    now, base, index = 0.0, 0, 0  # base: steps since the start; a sequence that began at b has base - b tokens
    ends, begun_sum = [], 0       # (step at which it ends, step at which it began)
    slots = 256
    while index < len(samples) or ends:
        # A new one begins where 1,000 tokens a sequence are free.
        held = len(ends) * base - begun_sum
        while index < len(samples) and len(ends) < slots and held + (len(ends) + 1) * 1000 < KV_TOKENS:
            heapq.heappush(ends, (base + samples[index], base))
            begun_sum += base
            index += 1
        # Until the next one ends, or for 256 steps, after which there may be room.
        steps = min(ends[0][0] - base, 256) if index < len(samples) else ends[0][0] - base
        steps = max(1, steps)
        held = len(ends) * base - begun_sum + len(ends) * steps / 2
        now += steps * (WEIGHTS_BYTES + held * KV_BYTES) / BANDWIDTH
        base += steps
        while ends and ends[0][0] <= base:
            begun_sum -= heapq.heappop(ends)[1]
        # Over its memory the youngest gives up its pages; bringing them back later is a prefill, which is not counted.
        while len(ends) > 1 and len(ends) * base - begun_sum > KV_TOKENS:
            youngest = max(range(len(ends)), key=lambda i: ends[i][1])
            end, begun = ends.pop(youngest)
            heapq.heapify(ends)
            begun_sum -= begun
            samples = samples[:index] + [end - base] + samples[index:]
    return now


def shards(samples, count, rng):
    parts = [[] for _ in range(count)]
    for sample in samples:
        parts[rng.randrange(count)].append(sample)
    return parts


def main():
    rng = random.Random(7)
    drawn = {suite: lengths(suite, rng) for suite in SUITES}
    total = sum(map(sum, drawn.values()))
    count = sum(map(len, drawn.values()))
    print(f"{count:,} samples, {total / 1e6:,.0f} M tokens; room for {KV_TOKENS:,.0f} tokens of keys and values a GPU\n")
    print("| GPUs | all suites in one run | GPU hours | of them idle at the end | a run a suite | longest shard alone |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for gpus in (1, 8, 64, 1024):
        mixed = [s for suite in SUITES for s in drawn[suite]]
        # In the order of the suites, as a run with several tasks goes through them.
        parts = [[] for _ in range(gpus)]
        for sample in mixed:
            parts[rng.randrange(gpus)].append(sample)
        seconds = [gpu_seconds(part) + START_S for part in parts]
        one_run, busy = max(seconds), sum(seconds)
        by_suite = 0.0
        for suite in SUITES:
            by_suite += max(gpu_seconds(part) for part in shards(drawn[suite], gpus, rng) if part) + START_S
        idle = 1 - busy / (gpus * one_run)
        single = (LIMIT * (WEIGHTS_BYTES + LIMIT / 2 * KV_BYTES)) / BANDWIDTH + START_S
        print(f"| {gpus:,} | {one_run / 3600:.2f} h | {gpus * one_run / 3600:,.0f} | {100 * idle:.0f} % | {by_suite / 3600:.2f} h | "
              f"{single / 3600:.2f} h |", flush=True)


main()
