"""Fails on an include against the direction that the architecture allows.

engine, suites, datasets, scorers and results include harness/base and themselves, never each other;
harness may include them all; harness/base includes only itself.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ["engine", "suites", "datasets", "scorers", "results"]
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def owner(path):
    if path.startswith("harness/base/"):
        return "harness/base"
    return path.split("/")[0]


def allowed(source):
    if source == "harness/base":
        return {"harness/base"}
    if source in FOLDERS:
        return {source, "harness/base"}
    return {"harness", "harness/base", *FOLDERS} | ({"tests"} if source == "tests" else set())


def main():
    wrong = 0
    for folder in [*FOLDERS, "harness", "tests"]:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix not in {".h", ".cc", ".cu", ".cuh"}:
                continue
            name = path.relative_to(ROOT).as_posix()
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                match = INCLUDE.match(line)
                if match and owner(match.group(1)) not in allowed(owner(name)):
                    print(f"{name}:{number}: {owner(name)} may not include {match.group(1)}")
                    wrong += 1
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
