"""Records what other programs answer, as cases for the tests.

Needs PyPI torch, transformers, tokenizers, jinja2; the versions used are in each output.
    python3 scripts/make_cases.py chat_templates tests/cases/chat_templates.jsonl [DATA/engine/templates]
    python3 scripts/make_cases.py tokenizer tests/cases/builtin_tokenizer.jsonl
    python3 scripts/make_cases.py tokenizer_lines tests/cases/tokenizer_lines.jsonl DATA   (PyPI gguf too)
    python3 scripts/make_cases.py tiny_model tests/cases/tiny_qwen2
"""
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# One construct each, rendered with the conversation "two turns with system".
CONSTRUCTS = [
    "{% for m in messages %}{{ loop.index }}/{{ loop.length }} {{ m.role }};{% endfor %}",
    "{% for m in messages if m.role != 'system' %}{{ loop.index0 }}{{ m['role'] }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% for m in [] %}x{% else %}empty{% endfor %}",
    "{% if messages[0].role == 'system' and not false %}S{% elif true %}E{% else %}N{% endif %}",
    "{%- set ns = namespace(n=0, last='') -%}{%- for m in messages -%}{%- set ns.n = ns.n + 1 -%}{%- set ns.last = m.role -%}{%- endfor -%}{{ ns.n }} {{ ns.last }}",
    "{% set a, b = 1, 'two' %}{{ a }}{{ b }}",
    "{% set text %}block {{ messages|length }}{% endset %}{{ text|upper }}",
    "{% macro show(m, sep=': ') %}{{ m.role }}{{ sep }}{{ m.content }}{% endmacro %}{{ show(messages[0]) }}|{{ show(messages[1], sep='=') }}",
    "{{ messages[-1].content[:3] }}|{{ messages[1:]|length }}|{{ 'abcdef'[::-1] }}|{{ 'abcdef'[1:5:2] }}|{{ 'abc'[-2:] }}",
    "{{ 'a,b,c'.split(',') | join('-') }}|{{ ' x '.strip() }}|{{ 'xxabcxx'.strip('x') }}|{{ 'Hello'.startswith('He') }}|{{ 'a b  c'.split() }}",
    "{{ messages | map(attribute='role') | join(' ') }}|{{ messages | selectattr('role', 'equalto', 'user') | list | length }}",
    "{{ {'a': 1, 'b': [true, none, 1.5, 'ü\"']} | tojson }}|{{ [1, 2] | tojson(indent=2) }}|{{ [] | tojson }}",
    "{{ missing is defined }}|{{ missing is not defined }}|{{ missing | default('d') }}|{{ none is none }}|{{ '' | default('e', true) }}",
    "{{ 7 // 2 }} {{ 7 % 3 }} {{ -7 // 2 }} {{ 7 / 2 }} {{ 2 * 3 + 4 }} {{ 'a' ~ 1 ~ none }} {{ 1 + 1.5 }}",
    "{{ 'a' in 'cat' }}|{{ 'x' not in ['x'] }}|{{ 'role' in messages[0] }}|{{ 1 < 2 }}|{{ 'a' <= 'b' }}",
    "{{ 'yes' if messages else 'no' }}|{{ 'yes' if missing else 'no' }}|{{ 'only' if false }}|",
    "{{ messages[0] }}",
    "{{ [1, 'a', none, true, {'k': 2.0}] }}",
    "  {% if true %}\n  indented\n  {% endif %}\n tail {# comment #}\nend\n",
    "{%- if true -%}   a   {%- endif +%}  \n b",
    "line\n    {%+ if true %}kept{% endif %}\nnext\n",
    "{% for k, v in {'x': 1, 'y': 2}.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% for i in range(2) %}{% for j in range(2) %}{{ loop.index }}{{ i }}{{ j }} {% endfor %}{{ loop.last }}{% endfor %}",
    "{% set x = 1 %}{% for i in range(3) %}{% set x = i %}{% endfor %}{{ x }}",
    "{{ 'Title case me'.title() }}|{{ 'mIxEd'|capitalize }}|{{ 'abc'|first }}{{ 'abc'|last }}|{{ 'aXbX'|replace('X', '-') }}",
    "{{ bos_token }}{{ '\\n' }}{{ \"tab\\t\" }}{{ 'quote\\'s' }}",
    "{{ messages[0].content is string }}|{{ messages is iterable }}|{{ messages[0] is mapping }}|{{ 3 is number }}|{{ 3 is odd }}|{{ 4 is divisibleby 2 }}",
    "{{ '%s' }}{{ '}}' }}{{ \"{%\" }}",
    "{{ (1, 2)|length }}|{{ [3, 1]|reverse|list }}|{{ 'x'|string }}|{{ '12'|int + 1 }}",
    "{{ [3, 1, 2]|sort }}|{{ ['b', 'A', 'c']|sort }}|{{ [1, 2]|sort(reverse=true) }}|{{ messages|sort(attribute='role')|map(attribute='role')|join(',') }}",
    "{{ [1, 2, 1, 'a', 'A']|unique|list }}|{{ {'b': 1, 'a': 2}|dictsort|length }}|{% for k, v in {'y': 1, 'x': 2}|dictsort %}{{ k }}{{ v }}{% endfor %}",
    "{{ [1, 2, 3]|sum }}|{{ [1, 2.5]|sum }}|{{ [3, 1]|min }}{{ [3, 1]|max }}|{{ (0 - 5)|abs }}|{{ 2.567|round(2) }}|{{ 2.5|round }}|{{ 2.1|round(0, 'ceil') }}|{{ '1.5'|float }}|{{ 'x'|float }}",
    "{{ 'a\nb\n\nc'|indent }}|{{ 'a\nb'|indent(2, true) }}|{{ 'a\nb'|indent(width=1) }}|{{ '<a href=\"x\">&'|e }}",
    "{{ 'a-b-c'.rsplit('-', 1) }}|{{ 'a-b-c'.split('-', 1) }}|{{ 'a b c'.split(none, 1) }}|{{ 'x\ny\r\nz'.splitlines() }}|{{ 'banana'.count('an') }}",
    "{{ 'prefix-x'.removeprefix('prefix-') }}|{{ 'x.txt'.removesuffix('.txt') }}|{{ 'abc'.startswith(('x', 'a')) }}|{{ 'aXbX'.replace('X', '-', 1) }}",
    "{{ '12'.isdigit() }}|{{ '1a'.isdigit() }}|{{ ' '.isspace() }}|{{ 'AB'.isupper() }}|{{ 'ab1'.islower() }}|{{ 'abc'.find('z') }}{{ 'abc'.index('c') }}",
    "{{ 3 is gt 2 }}|{{ 3 is lt(2) }}|{{ 3 is ge 3 }}|{{ 'a' is lower }}|{{ 'A' is upper }}|{{ 1 is eq 1 }}|{{ 2 is in [1, 2] }}|{% set two = 2 %}{{ 4 is divisibleby two }}|{{ 'y' if 1 is odd else 'n' }}",
    "{% for m in messages %}{% if loop.previtem is defined %}{{ loop.previtem.role }}>{% endif %}{{ m.role }}{% if loop.nextitem is defined %}>{{ loop.nextitem.role }}{% endif %}|{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }};{% endfor %}",
    "{{ messages[0].get('role') }}|{{ messages[0].get('none', 'd') }}|{{ messages[0].keys()|list }}|{{ messages[0]['content'][0] }}|{{ messages[-1]['role'] == 'user' and 'yes' or 'no' }}",
]

CONVERSATIONS = {
    "one turn": [("user", "What is 1 + 1?")],
    "one turn with system": [("system", "Be terse."), ("user", "Hi  there\n")],
    "two turns": [("user", ""), ("assistant", "line\n\nline  "), ("user", "  spaces  ")],
    "two turns with system": [
        ("system", "You add numbers."), ("user", "1+1"), ("assistant", "<think>\nsum\n</think>\n\n2"), ("user", "2+2")],
    "three turns": [
        ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d é 漢"), ("user", "e <|im_end|> f")],
    "three turns with system": [("system", "")] + [
        (role, f"{i} \"{role}\" \\boxed{{{i}}}") for i in range(3) for role in ("user", "assistant")][:-1],
    "four turns": [(role, f"<think>{i}</think>{role}") for i in range(4) for role in ("user", "assistant")][:-1],
    "four turns with system": [("system", "s\n")] + [
        (role, f"{role}\n{i}") for i in range(4) for role in ("user", "assistant")][:-1],
    "five turns": [(role, f"{role} {i} {{{{x}}}}") for i in range(5) for role in ("user", "assistant")][:-1],
    "five turns with system": [("system", "{% if %}")] + [
        (role, f"{role} {i} 😀") for i in range(5) for role in ("user", "assistant")][:-1],
    "ends with assistant": [("user", "q"), ("assistant", "</think>answer")],
}


def write_lines(path, rows):
    with open(path, "w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def chat_templates(out, folder=None):
    import jinja2
    import jinja2.sandbox

    def tojson(value, ensure_ascii=False, indent=None):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    environment.filters["tojson"] = tojson
    sources = {"construct": CONSTRUCTS}
    if folder:
        for path in sorted(pathlib.Path(folder).glob("*.jinja")):
            sources[path.name] = [path.read_text(encoding="utf-8")]
    config = json.loads((ROOT / "engine/builtin/tokenizer_config.json").read_text())
    sources["builtin"] = [config["chat_template"]]
    rows = [{"made_with": "jinja2 " + jinja2.__version__}]
    for name, templates in sources.items():
        chosen = ["two turns with system"] if name == "construct" else list(CONVERSATIONS)
        for source in templates:
            for conversation in chosen:
                messages = [{"role": r, "content": c} for r, c in CONVERSATIONS[conversation]]
                for generation in ([True] if name == "construct" else [True, False]):
                    expected = environment.from_string(source).render(
                        messages=messages, add_generation_prompt=generation, enable_thinking=True,
                        bos_token="<bos>", eos_token="<eos>")
                    row = {"template": name, "conversation": conversation, "messages": messages,
                           "add_generation_prompt": generation, "expected": expected}
                    if name == "construct":
                        row["source"] = source
                    rows.append(row)
    write_lines(out, rows)


TEXTS = [
    "What is 12 + 7?", "Anna has 36 stamps.", "", " ", "  two  spaces ", "\n\n\nlines\n \n", "tab\tand\r\nCRLF",
    "123456", "I'm you're WE'LL", "café naïve", "漢字かな", "emoji 😀👩‍👩‍👧 end", "a\u00a0b\u3000c\u2003d",
    "\\boxed{42} $x^2$", "<think>\n5 * 3 = 15\n</think>", "<|im_start|>user\nhi<|im_end|>", "<|im_end", "e\u0301 combining",
    "ＡＢＣ ①②", "x" * 70, "....,,,;;", " 1 2 3", "\u200b zero width", "Ω≈ç√∫", "مرحبا", "हिन्दी", "a  b   c    d",
    "end with newline\n", "\n start", "Please reason step by step, and put your final answer within \\boxed{}.",
]


def tokenizer(out):
    import tokenizers

    loaded = tokenizers.Tokenizer.from_file(str(ROOT / "engine/builtin/tokenizer.json"))
    rows = [{"made_with": "tokenizers " + tokenizers.__version__}]
    for line in (ROOT / "datasets/samples/arithmetic.jsonl").read_text().splitlines()[:40]:
        TEXTS.append(json.loads(line)["question"])
    for text in TEXTS:
        rows.append({"text": text, "ids": loaded.encode(text, add_special_tokens=False).ids})
    write_lines(out, rows)


# Each as in the models' own tokenizer.json: patterns that split off pieces, one after the other.
SMOLLM = [r"\p{N}", r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"]
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
DEEPSEEK_CODER = [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}"]
LINE_TOKENIZERS = {  # vocabulary file: patterns, whether a word that is a token stays whole
    "gpt-2": (SMOLLM[1:], False), "qwen2": ([QWEN2], False), "llama-bpe": ([LLAMA3], True),
    "deepseek-coder": (DEEPSEEK_CODER, False)}
LINES = [("math500/test.jsonl", "problem"), ("ifeval/input_data.jsonl", "prompt"),
         ("arena_hard/v0.1_question.jsonl", "prompt"), ("arena_hard/v2.0_question.jsonl", "prompt")]


def tokenizer_lines(out, data):
    import hashlib

    import gguf
    import tokenizers
    from tokenizers import pre_tokenizers

    def load(name, patterns, whole_words):
        reader = gguf.GGUFReader(f"{data}/engine/vocab/ggml-vocab-{name}.gguf")

        def texts(key):
            field = reader.fields[key]
            return [bytes(field.parts[i]).decode() for i in field.data]

        vocabulary = {token: i for i, token in enumerate(texts("tokenizer.ggml.tokens"))}
        merges = [tuple(merge.split(" ")) for merge in texts("tokenizer.ggml.merges")]
        loaded = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, merges, ignore_merges=whole_words))
        splits = [pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated") for pattern in patterns]
        loaded.pre_tokenizer = pre_tokenizers.Sequence(
            splits + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        return loaded

    loaded = {name: load(name, *rest) for name, rest in LINE_TOKENIZERS.items()}
    rows = [{"made_with": f"tokenizers {tokenizers.__version__}, gguf vocabularies; "
                          "SHA-256 of the ids as little-endian int32, first 16 digits"}]
    for file, field in LINES:
        for number, line in enumerate(pathlib.Path(data, file).read_text(encoding="utf-8").split("\n")[:500], 1):
            row = {"file": file, "line": number, "field": field}
            for name, one in loaded.items():
                ids = one.encode(json.loads(line)[field], add_special_tokens=False).ids
                packed = b"".join(i.to_bytes(4, "little") for i in ids)
                row[name] = hashlib.sha256(packed).hexdigest()[:16]
            rows.append(row)
    write_lines(out, rows)


def tiny_model(out):
    import tokenizers
    import torch
    import transformers

    torch.manual_seed(20)
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    base = tokenizers.Tokenizer(tokenizers.models.BPE())
    base.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    base.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=280, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    base.train_from_iterator(["the cat sat on the mat, the dog did not " * 4], trainer)
    base.add_special_tokens(["<|endoftext|>", "<|im_end|>"])
    base.save(str(out / "tokenizer.json"))
    # Widths that no vector length divides.
    config = transformers.Qwen2Config(
        vocab_size=284, hidden_size=36, intermediate_size=58, num_hidden_layers=3, num_attention_heads=6,
        num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 5000.0}, eos_token_id=base.token_to_id("<|im_end|>"))
    model = transformers.Qwen2ForCausalLM(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = 0.5 if "norm" in name else (0.3 if name.endswith("bias") else 0.25)
            parameter.copy_(torch.randn_like(parameter) * scale + (1.0 if "norm" in name else 0.0))
    model.save_pretrained(out)
    (out / "generation_config.json").unlink(missing_ok=True)
    ids = torch.randint(0, 280, (1, 90))
    with torch.no_grad():
        logprobs = torch.log_softmax(model.double()(input_ids=ids, use_cache=False).logits[0], -1)
    top = torch.topk(logprobs, 20)
    expected = {
        "made_with": f"transformers {transformers.__version__}, torch {torch.__version__}, float64 on CPU",
        "ids": ids[0].tolist(),
        "next_logprobs": [logprobs[i, ids[0, i + 1]].item() for i in range(89)],
        "top20": [[[int(t), v.item()] for t, v in zip(top.indices[i], top.values[i])] for i in range(0, 90, 10)],
    }
    (out / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    {"chat_templates": chat_templates, "tokenizer": tokenizer, "tokenizer_lines": tokenizer_lines,
     "tiny_model": tiny_model}[sys.argv[1]](*sys.argv[2:])
