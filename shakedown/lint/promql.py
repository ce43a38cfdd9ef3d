from collections.abc import Iterator
from dataclasses import dataclass

import promql_parser as pq


class PromqlError(ValueError):
    """The expression does not parse; the message holds the parser's complaint."""


@dataclass(frozen=True)
class Series:
    """A selector in an expression: its metric, its matchers, and the seconds of its range (0: instant)."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]
    range_s: float
    inside: tuple[str, ...]  # functions and aggregations around it, the outermost first

    def equal(self, label: str) -> str | None:
        """The value that the label must equal, None where none is asked for."""
        return next((value for name, op, value in self.matchers if name == label and op == "="), None)


OPERATORS = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}


def parse(text: str) -> pq.Expr:
    """The parsed expression. Raises PromqlError."""
    try:
        return pq.parse(text)
    except ValueError as error:
        raise PromqlError(str(error)) from error


def children(expr: pq.Expr) -> list[pq.Expr]:
    """The direct operands and arguments of an expression."""
    match expr:
        case pq.BinaryExpr():
            return [expr.lhs, expr.rhs]
        case pq.Call():
            return list(expr.args)
        case pq.AggregateExpr() | pq.ParenExpr() | pq.UnaryExpr() | pq.SubqueryExpr():
            return [expr.expr]
        case pq.MatrixSelector():
            return [expr.vector_selector]
    return []


def walk(expr: pq.Expr) -> Iterator[pq.Expr]:
    """The expression and everything in it."""
    yield expr
    for child in children(expr):
        yield from walk(child)


def series(expr: pq.Expr, inside: tuple[str, ...] = ()) -> Iterator[Series]:
    """Every selector of an expression."""
    if isinstance(expr, pq.MatrixSelector):
        yield _series(expr.vector_selector, expr.range.total_seconds(), inside)
    elif isinstance(expr, pq.VectorSelector):
        yield _series(expr, 0, inside)
    else:
        around = inside
        if isinstance(expr, pq.Call):
            around = (*inside, expr.func.name)
        elif isinstance(expr, pq.AggregateExpr):
            around = (*inside, str(expr.op))
        for child in children(expr):
            yield from series(child, around)


def _series(selector: pq.VectorSelector, range_s: float, inside: tuple[str, ...]) -> Series:
    found = tuple((m.name, OPERATORS[str(m.op)], m.value) for m in selector.matchers.matchers)
    metric = selector.name or next((v for n, op, v in found if n == "__name__" and op == "="), "")
    return Series(metric, tuple(m for m in found if m[0] != "__name__"), range_s, inside)


def holds_without(expr: pq.Expr) -> bool:
    """Whether an expression may begin to hold because a series is gone: by `absent`, or by `unless`."""
    return any(
        (isinstance(each, pq.Call) and each.func.name == "absent")
        or (isinstance(each, pq.BinaryExpr) and str(each.op) == "unless")
        for each in walk(expr)
    )


def comparisons(expr: pq.Expr) -> Iterator[tuple[pq.Expr, str, float]]:
    """Each comparison of something with a number: the something, the operator and the number."""
    for each in walk(expr):
        if isinstance(each, pq.BinaryExpr):
            right = number(each.rhs)
            if str(each.op) in {">", ">=", "<", "<=", "==", "!="} and right is not None and number(each.lhs) is None:
                yield each.lhs, str(each.op), right


def number(expr: pq.Expr) -> float | None:
    """The value of a constant expression, None for one that holds series."""
    match expr:
        case pq.NumberLiteral():
            return expr.val
        case pq.ParenExpr():
            return number(expr.expr)
        case pq.UnaryExpr():
            inner = number(expr.expr)
            return None if inner is None else -inner
        case pq.BinaryExpr():
            left, right = number(expr.lhs), number(expr.rhs)
            return None if left is None or right is None else _calculate(str(expr.op), left, right)
    return None


def _calculate(operator: str, left: float, right: float) -> float | None:
    match operator:
        case "*":
            return left * right
        case "/":
            return left / right if right else None
        case "+":
            return left + right
        case "-":
            return left - right
        case "^":
            return float(left**right)
    return None
