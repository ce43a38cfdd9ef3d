"""JSON as the server's own parser reads and writes it, where that differs from the fast library.

The fast library reads almost every request. What it refuses comes here: NaN and Infinity, which are allowed, text after
the document, which is ignored, and errors, whose texts and byte offsets are part of the answer. Nothing here recurses:
a client chooses the nesting.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

import orjson

from model_server.status import StatusError, invalid

NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
NOT_FINITE = re.compile(rb"-?(?:NaN|Inf(?:inity)?)")
PLAIN_TEXT = re.compile(rb'[^"\\\x00-\x1f]*')
SPACE = re.compile(rb"[ \n\r\t]*")
HEX4 = re.compile(rb"[0-9a-fA-F]{4}")
WORDS = {b"t": (b"true", True), b"f": (b"false", False), b"n": (b"null", None)}
ESCAPES = {b'"': '"', b"\\": "\\", b"/": "/", b"b": "\b", b"f": "\f", b"n": "\n", b"r": "\r", b"t": "\t"}
HIGH_SURROGATES = range(0xD800, 0xDC00)
LOW_SURROGATES = range(0xDC00, 0xE000)
INT64_MIN, UINT64_MAX = -(2**63), 2**64 - 1
QUOTED = re.compile(r'["\\\x00-\x1f]')
SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def parse(body: bytes) -> dict[str, Any]:
    """The object in a request's body.

    Raises StatusError with the parser's own text and offset, or where the document is not an object.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = Parser(body).document()
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {text_of(document)} Is not object")
    return document


class Parser:
    """Reads one document from bytes; strings that are not UTF-8 keep their bytes as surrogates."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0

    def fail(self, text: str, at: int | None = None) -> StatusError:
        """The error of this parser at an offset in bytes."""
        return invalid(f"JSON Parse error: {text} at offset: {self.at if at is None else at}")

    def skip_space(self) -> bytes:
        """Go to the next character that is not white space, and look at it; empty at the end."""
        self.at = SPACE.match(self.body, self.at).end()  # type: ignore[union-attr]  # it matches nothing, too
        return self.body[self.at : self.at + 1]

    def document(self) -> Any:  # noqa: ANN401  # JSON
        """The document's value; what follows it is not looked at."""
        if not self.skip_space():
            raise self.fail("The document is empty.")
        open_containers: list[dict[str, Any] | list[Any]] = []
        keys: list[str] = []
        while True:
            value, opened = self.value()
            if opened:
                open_containers.append(value)
                if isinstance(value, dict):
                    keys.append(self.key())
                continue
            while open_containers:
                container = open_containers[-1]
                if isinstance(container, dict):
                    container.setdefault(keys.pop(), value)
                else:
                    container.append(value)
                if self.goes_on(container):
                    if isinstance(container, dict):
                        keys.append(self.key())
                    break
                value = open_containers.pop()
            else:
                return value

    def value(self) -> tuple[Any, bool]:
        """The next value, and whether it is a container with something in it that is still to be read."""
        first = self.skip_space()
        if first == b"{" or first == b"[":  # noqa: PLR1714  # a set of bytes costs more than two comparisons
            self.at += 1
            container: dict[str, Any] | list[Any] = {} if first == b"{" else []
            if self.skip_space() == (b"}" if first == b"{" else b"]"):
                self.at += 1
                return container, False
            return container, True
        if first == b'"':
            return self.string(), False
        if first in WORDS:
            return self.word(*WORDS[first]), False
        return self.number(), False

    def word(self, word: bytes, value: bool | None) -> bool | None:  # noqa: FBT001
        """A literal; a wrong one fails after the letters that were right."""
        for place in range(len(word)):
            if self.body[self.at + place : self.at + place + 1] != word[place : place + 1]:
                raise self.fail("Invalid value.", self.at + place)
        self.at += len(word)
        return value

    def key(self) -> str:
        """An object's next key with its colon."""
        if self.skip_space() != b'"':
            raise self.fail("Missing a name for object member.")
        key = self.string()
        if self.skip_space() != b":":
            raise self.fail("Missing a colon after a name of object member.")
        self.at += 1
        return key

    def goes_on(self, container: dict[str, Any] | list[Any]) -> bool:
        """Whether another element follows; steps over the comma or the closing bracket."""
        closing, text = (
            (b"}", "Missing a comma or } after an object member.")
            if isinstance(container, dict)
            else (b"]", "Missing a comma or ] after an array element.")
        )
        found = self.skip_space()
        if found not in {b",", closing}:
            raise self.fail(text)
        self.at += 1
        return found == b","

    def number(self) -> int | float:
        """A number, NaN and Infinity among them."""
        found = NOT_FINITE.match(self.body, self.at)
        if found:
            self.at = found.end()
            return float(found[0])
        found = NUMBER.match(self.body, self.at)
        if not found:
            minus = self.body[self.at : self.at + 1] == b"-"
            raise self.fail("Invalid value.", self.at + minus)
        start, self.at = self.at, found.end()
        follows = self.body[self.at : self.at + 1]
        if follows == b"." and not found[1]:
            raise self.fail("Miss fraction part in number.", self.at + 1)
        if follows in {b"e", b"E"} and not found[2]:
            raise self.fail("Miss exponent in number.", self.at + 1)
        if not found[1] and not found[2] and len(found[0]) <= len(str(INT64_MIN)):
            whole = int(found[0])
            if INT64_MIN <= whole <= UINT64_MAX:
                return whole
        value = float(found[0])
        if math.isinf(value):
            raise self.fail("Number too big to be stored in double.", start)
        return value

    def string(self) -> str:
        """A string with its escapes decoded."""
        start = self.at
        self.at += 1
        parts: list[str] = []
        while True:
            found = PLAIN_TEXT.match(self.body, self.at)
            parts.append(found[0].decode("utf-8", "surrogateescape"))  # type: ignore[index]  # it matches nothing, too
            self.at = found.end()  # type: ignore[union-attr]
            next_byte = self.body[self.at : self.at + 1]
            if next_byte == b'"':
                self.at += 1
                return "".join(parts)
            if next_byte != b"\\":
                text = "Missing a closing quotation mark in string." if not next_byte else "Invalid encoding in string."
                raise self.fail(text, start if not next_byte else self.at)
            parts.append(self.escape())

    def escape(self) -> str:
        """One character written with a backslash."""
        letter = self.body[self.at + 1 : self.at + 2]
        if letter in ESCAPES:
            self.at += 2
            return ESCAPES[letter]
        if letter != b"u":
            raise self.fail("Invalid escape character in string.")
        start = self.at
        unit = self.hex4()
        if unit in LOW_SURROGATES:
            raise self.fail("The surrogate pair in string is invalid.", start)
        if unit in HIGH_SURROGATES:
            low = self.hex4() if self.body[self.at : self.at + 2] == b"\\u" else 0
            if low not in LOW_SURROGATES:
                raise self.fail("The surrogate pair in string is invalid.", start)
            unit = 0x10000 + ((unit - HIGH_SURROGATES.start) << 10) + (low - LOW_SURROGATES.start)
        return chr(unit)

    def hex4(self) -> int:
        r"""The number in `\uXXXX`."""
        found = HEX4.match(self.body, self.at + 2)
        if not found:
            raise self.fail("Incorrect hex digit after \\u escape in string.")
        self.at += 6
        return int(found[0], 16)


def quote(text: str) -> str:
    """The text as a JSON string: quotes, backslashes and control characters escaped, the rest as it is."""

    def escaped(found: re.Match[str]) -> str:
        return SHORT_ESCAPES.get(found[0]) or f"\\u{ord(found[0]):04X}"

    return f'"{QUOTED.sub(escaped, text)}"'


def error_body(message: str) -> bytes:
    """A REST error."""
    return f'{{\n    "error": {quote(message)}\n}}'.encode("utf-8", "surrogateescape")


def double_text(value: float) -> str:
    """A double at the fewest digits that read back, as inside a quoted value."""
    if not math.isfinite(value):
        return not_finite_text(value)
    mantissa, has_exponent, exponent = repr(value).partition("e")
    return f"{mantissa}e{int(exponent)}" if has_exponent else mantissa


def not_finite_text(value: float) -> str:
    """NaN and the infinities."""
    return "NaN" if math.isnan(value) else "-Infinity" if value < 0 else "Infinity"


def scalar_text(value: object) -> str:  # noqa: PLR0911  # one return per JSON type
    """A value that holds no others."""
    match value:
        case dict():
            return "{}"
        case list():
            return "[]"
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return quote(value)
        case float():
            return double_text(value)
        case _:
            return str(value)


def text_of(document: Any) -> str:  # noqa: ANN401  # JSON
    """The value as error texts quote it: pretty-printed with four spaces."""
    parts: list[str] = []
    open_iterators: list[tuple[Iterator[tuple[str | None, Any]], str]] = []
    value = document
    while True:
        if isinstance(value, dict | list) and value:
            parts.append("{" if isinstance(value, dict) else "[")
            items = iter(value.items()) if isinstance(value, dict) else ((None, item) for item in value)
            open_iterators.append((items, "}" if isinstance(value, dict) else "]"))
            separator = "\n"
        else:
            parts.append(scalar_text(value))
            separator = ",\n"
        while open_iterators:
            items, closing = open_iterators[-1]
            following = next(items, None)
            if following:
                key, value = following
                parts.append(separator + "    " * len(open_iterators))
                parts.append("" if key is None else f"{quote(key)}: ")
                break
            open_iterators.pop()
            parts.append("\n" + "    " * len(open_iterators) + closing)
            separator = ",\n"
        else:
            return "".join(parts)
