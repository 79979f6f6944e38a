"""Asks a server the arithmetic questions through a peer's client; greedy, without a thought.

    ask_server.py openai|lm-eval|inspect URL QUESTIONS.jsonl OUT.jsonl     a row a question: {"id", "completion"}
"""
import json
import os
import pathlib
import sys
import tempfile

peer, url, questions, out = sys.argv[1:5]
rows = [json.loads(line) for line in open(questions, encoding="utf-8")]
SUFFIX = "\nPlease reason step by step, and put your final answer within \\boxed{}."
MAX_TOKENS = 100


def with_openai():
    import openai

    client = openai.OpenAI(base_url=url, api_key="none")
    for row in rows:
        answer = client.chat.completions.create(model="builtin", temperature=0, max_tokens=MAX_TOKENS,
                                                messages=[{"role": "user", "content": row["question"] + SUFFIX}])
        yield row["id"], answer.choices[0].message.content


def with_lm_eval():
    os.environ.update(HF_DATASETS_OFFLINE="1", HF_HUB_OFFLINE="1", OPENAI_API_KEY="none")
    import lm_eval
    from lm_eval.tasks import TaskManager

    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "arithmetic.yaml").write_text(json.dumps({
            "task": "assay_arithmetic", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": questions}},
            "test_split": "test", "output_type": "generate_until", "doc_to_text": "{{question}}" + SUFFIX,
            "doc_to_target": "{{answer}}", "metric_list": [{"metric": "exact_match"}],
            "generation_kwargs": {"until": [], "do_sample": False, "temperature": 0, "max_gen_toks": MAX_TOKENS}}))
        result = lm_eval.simple_evaluate(
            model="local-chat-completions", tasks=["assay_arithmetic"], apply_chat_template=True, log_samples=True,
            model_args=f"model=builtin,base_url={url}/chat/completions,num_concurrent=4,tokenized_requests=False",
            task_manager=TaskManager(include_path=folder, include_defaults=False))
    for sample in result["samples"]["assay_arithmetic"]:
        yield sample["doc"]["id"], sample["resps"][0][0]


def with_inspect():
    os.environ.update(ASSAY_API_KEY="none", ASSAY_BASE_URL=url)
    from inspect_ai import Task, eval
    from inspect_ai.dataset import Sample
    from inspect_ai.solver import generate

    task = Task(dataset=[Sample(id=row["id"], input=row["question"] + SUFFIX, target=row["answer"]) for row in rows],
                solver=generate())
    with tempfile.TemporaryDirectory() as folder:
        log = eval(task, model="openai-api/assay/builtin", temperature=0, max_tokens=MAX_TOKENS, log_dir=folder,
                   display="none")[0]
        assert log.status == "success", log.error
        answers = [(sample.id, sample.output.completion) for sample in log.samples]
    yield from answers


with open(out, "w", encoding="utf-8") as file:
    for item, completion in {"openai": with_openai, "lm-eval": with_lm_eval, "inspect": with_inspect}[peer]():
        file.write(json.dumps({"id": item, "completion": completion}) + "\n")
