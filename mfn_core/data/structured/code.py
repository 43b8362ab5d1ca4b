"""Programs and what is typed at them: Python, C, JavaScript, SQL, a shell."""

from __future__ import annotations

import random

from mfn_core.data.structured.words import COLUMNS, NOUNS, VERBS, name


def python_code(rng: random.Random) -> str:
    """A few small functions."""

    def function() -> str:
        name, argument, other = f"{rng.choice(VERBS)}_{rng.choice(NOUNS)}", rng.choice(NOUNS), rng.choice(NOUNS)
        n = rng.randint(1, 99)
        body = rng.choice(
            [
                f"    {other} = []\n    for i in range(len({argument})):\n        if {argument}[i] > {n}:\n"
                f"            {other}.append({argument}[i])\n    return {other}",
                f"    if {argument} is None:\n        raise ValueError('{argument} is missing')\n"
                f"    return {argument} * {n}",
                f'    """Return the {other} of the {argument}."""\n    {other} = {{}}\n'
                f"    for key, value in {argument}.items():\n        {other}[key] = value + {n}\n    return {other}",
                f"    with open({argument}) as file:\n        {other} = file.read()\n"
                f"    return {other}.split('\\n')[:{n}]",
                f"    total = 0\n    while {argument} > 0:\n        total += {argument} % {n + 1}\n"
                f"        {argument} //= {n + 1}\n    return total",
            ]
        )
        return f"def {name}({argument}{rng.choice(['', f', {other}=None'])}):\n{body}"

    imports = "".join(f"import {m}\n" for m in rng.sample(["os", "sys", "json", "math", "random", "re"], 2))
    return imports + "\n\n" + "\n\n\n".join(function() for _ in range(rng.randint(2, 4)))


def c_code(rng: random.Random) -> str:
    """A few small functions in C."""

    def function() -> str:
        verb, one, two, n = rng.choice(VERBS), rng.choice(NOUNS), rng.choice(NOUNS), rng.randint(2, 99)
        body = rng.choice(
            [
                f"    int {two} = 0;\n    for (int i = 0; i < n; i++) {{\n        {two} += {one}[i];\n    }}\n"
                f"    return {two};",
                f"    if ({one} == NULL) {{\n        return -1;\n    }}\n    return {one}[n - 1] * {n};",
                f"    char *{two} = malloc(n * sizeof(char));\n    memcpy({two}, {one}, n);\n    free({two});\n"
                "    return 0;",
                f'    printf("{two}: %d\\n", n);\n    while (n > {n}) {{\n        n /= 2;\n    }}\n    return n;',
            ]
        )
        return f"static int {verb}_{one}(const {rng.choice(['int', 'char'])} *{one}, size_t n) {{\n{body}\n}}"

    head = "".join(f"#include <{h}.h>\n" for h in rng.sample(["stdio", "stdlib", "string", "math", "stdint"], 2))
    return (
        head
        + f"#define {rng.choice(NOUNS).upper()} {rng.randint(1, 999)}\n\n"
        + "\n\n".join(function() for _ in range(rng.randint(2, 4)))
    )


def javascript(rng: random.Random) -> str:
    """A few lines of a web page's script."""

    def piece() -> str:
        verb, one, two = rng.choice(VERBS), rng.choice(NOUNS), rng.choice(NOUNS)
        camel = f"{verb}{one.title()}"
        return rng.choice(
            [
                f"const {one} = document.getElementById('{two}');\n"
                f"{one}.addEventListener('click', () => {camel}({one}));",
                f"function {camel}({two}) {{\n  if (!{two}) return null;\n  return {two}.map(x => x.{one});\n}}",
                f"export async function {camel}() {{\n  const response = await fetch('/{two}');\n"
                "  return await response.json();\n}",
                f"let {two} = {rng.randint(1, 99)};\nconsole.log(`{one}: ${{{two}}}`);",
                f"const {{ {one}, {two} }} = props;\n{one}.forEach(({two}) => {{ {two}.{verb}(); }});",
            ]
        )

    return "\n\n".join(piece() for _ in range(rng.randint(3, 6)))


def sql(rng: random.Random) -> str:
    """Queries and changes to tables, as text; nothing runs them."""

    def statement() -> str:
        table, other = rng.choice(NOUNS), rng.choice(NOUNS)
        one, two = rng.sample(COLUMNS, 2)
        n = rng.randint(1, 999)
        return rng.choice(
            [
                f"SELECT {one}, {two} FROM {table} WHERE {one} > {n} ORDER BY {two} DESC LIMIT {rng.randint(1, 50)};",  # noqa: S608
                f"INSERT INTO {table} ({one}, {two}) VALUES ({n}, '{rng.choice(NOUNS)}');",  # noqa: S608
                f"UPDATE {table} SET {one} = '{other}' WHERE {two} = {n};",  # noqa: S608
                f"CREATE TABLE {table} (\n  {one} INTEGER PRIMARY KEY,\n  {two} TEXT NOT NULL\n);",
                f"SELECT COUNT(*) FROM {table}\nJOIN {other} ON {table}.{one} = {other}.{one}\nGROUP BY {table}.{two};",  # noqa: S608
                f"DELETE FROM {table} WHERE {one} IS NULL AND {two} < {n};",  # noqa: S608
            ]
        )

    return "\n".join(statement() for _ in range(rng.randint(5, 12)))


def shell(rng: random.Random) -> str:
    """Commands typed at a prompt, and some of their output."""

    def line() -> str:
        one, two, n = name(rng), rng.choice(NOUNS), rng.randint(1, 99)
        return rng.choice(
            [
                f"$ cd /home/{two}/{one}",
                f"$ grep -n '{two}' {one}.txt | wc -l\n{n}",
                f"$ ls -l\n-rw-r--r-- 1 {two} {two} {rng.randint(100, 99999)} {one}.txt\n"
                f"drwxr-xr-x 2 {two} {two} 4096 {two}",
                f"$ cp -r {one} /tmp/{two} && echo done\ndone",
                f"$ sudo apt install {two}-{rng.choice(VERBS)}",
                f"$ git commit -m '{rng.choice(VERBS)} {two}'\n {n} files changed",
                f"$ for f in *.txt; do mv $f {two}_$f; done",
            ]
        )

    return "\n".join(line() for _ in range(rng.randint(5, 12)))
