"""How the program's text is put together: functions, calls, lines that are there or not."""

from __future__ import annotations

import re

WIDE = 100  # characters in a line of data, and in a call that stays on one line


def function(head: str, doc: str, *lines: str) -> str:
    """The text of a function, such as head "main()", from its docstring and its lines."""
    return "\n".join([f"def {head}:", *(f"    {line}" for line in (f'"""{doc}"""', *lines))])


def call(name: str, arguments: list[str]) -> list[str]:
    """A call on one line if it is short, otherwise with a line for each argument."""
    line = f"{name}({', '.join(arguments)})"
    if len(line) <= WIDE:
        return [line]
    return [f"{name}(", *(f"    {argument}," for argument in arguments), ")"]


def when(condition: object, *lines: str) -> list[str]:
    """The lines, or none."""
    return list(lines) if condition else []


def word(name: str) -> str:
    """The name with - for everything but ASCII letters, digits, - and _."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", name)
