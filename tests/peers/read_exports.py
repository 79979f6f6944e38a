"""Reads what assay exported with lm-eval's and inspect's own readers, and says what they saw, as JSON.

    read_exports.py LM_EVAL_FOLDER INSPECT_FOLDER [EVAL_FILE]     writes the inspect log to EVAL_FILE too, as a zip
"""
import glob
import json
import sys

import datasets
from inspect_ai.log import read_eval_log, write_eval_log
from lm_eval.utils import get_file_task_name, get_results_filenames, get_sample_results_filenames, make_table

datasets.disable_progress_bars()
files = glob.glob(sys.argv[1] + "/*/*")
(results,), (samples,) = get_results_filenames(files), get_sample_results_filenames(files)
rows = datasets.load_dataset("json", data_files=samples, split="train", cache_dir=sys.argv[1] + "/cache")
(log_file,) = glob.glob(sys.argv[2] + "/*.json")
log = read_eval_log(log_file)
if len(sys.argv) > 3:
    write_eval_log(log, sys.argv[3])
print(json.dumps({
    "task": get_file_task_name(samples.split("/")[-1]), "table": make_table(json.load(open(results))), "rows": len(rows),
    "pass@1": sum(rows["pass@1"]) / len(rows), "responses": [len(r[0]) for r in rows["resps"]],
    "inspect": {"status": log.status, "task": log.eval.task, "samples": len(log.samples),
                "accuracy": log.results.scores[0].metrics["accuracy"].value, "epochs": log.eval.config.epochs,
                "correct": sum(s.scores["assay"].value == "C" for s in log.samples),
                "completion": log.samples[0].output.completion}}))
