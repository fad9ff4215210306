"""Text on standard output and on stderr, whatever characters they can show."""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import sys
import unicodedata

import click

from autoprox.runtime.arguments import printable

HANDLER = "autoprox.words"
"""The name of the error handler for characters that an encoding lacks."""

WORDS = {
    "\N{GREEK SMALL LETTER TAU}": "tau",
    "\N{GREEK SMALL LETTER RHO}": "rho",
    "\N{PLUS-MINUS SIGN}": "+/-",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{MINUS SIGN}": "-",
    "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{RIGHTWARDS ARROW}": "->",
    "\N{HORIZONTAL ELLIPSIS}": "...",
}
"""What is written for characters that an encoding lacks; else their letter without marks, or ?."""

_ESCAPED_IN_JSON = re.compile(r"[\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def open_closed() -> None:
    """Open closed streams on the null device, or the next file would get the number of one."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))


def use_words() -> None:
    """Write words for what an encoding lacks: a table must not be lost for a Greek letter."""
    codecs.register_error(HANDLER, _in_words)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=HANDLER)


def _in_words(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for the characters that could not be encoded."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(map(_word, missing)), error.end


def _word(character: str) -> str:
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return WORDS.get(character) or plain or "?"


def echo_text(text: str) -> None:
    """Print a text for a reader, without what would steer the terminal."""
    click.echo(printable(text), nl=False, file=sys.stdout)


def echo_json(text: str) -> None:
    """Print JSON for a program; characters that the output lacks are escaped."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    whole = encoding.lower().replace("-", "").startswith("utf")
    pattern = _ESCAPED_IN_JSON if whole else re.compile(r"[^\x00-\x7e]")
    escaped = pattern.sub(lambda match: json.dumps(match[0])[1:-1], text)
    click.echo(escaped, nl=False, file=sys.stdout)
