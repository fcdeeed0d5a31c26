from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.errors import QueryError
from meshtrail.search.parse import DEPTH_MAX, QUERY_CHARACTERS_MAX, TERMS_MAX, parse_query
from meshtrail.search.query import (
    And,
    Comparison,
    Node,
    Not,
    Or,
    Pattern,
    Range,
    Regex,
    Term,
    Value,
    Wildcard,
)

ANY = Wildcard(is_one=False)
ONE = Wildcard(is_one=True)


def spoken(node: Node | None) -> str:
    """A tree as text, with every pair of parentheses that there could be."""
    match node:
        case None:
            return ""
        case Term():
            return f"{node.field.column.short or node.field.name}{said(node.value)}"
        case Not():
            return f"-{spoken(node.node)}"
        case And():
            return f"({' & '.join(map(spoken, node.nodes))})"
        case Or():
            return f"({' | '.join(map(spoken, node.nodes))})"


def said(value: Value) -> str:
    match value:
        case Pattern():
            return "=" + "".join(one if isinstance(one, str) else "%" for one in value.pieces)
        case Comparison(operator, text):
            return operator + text
        case Regex(pattern):
            return "~" + pattern
        case Range():
            opening = "[" if value.is_low_included else "{"
            return f"{opening}{value.low},{value.high}{']' if value.is_high_included else '}'}"


def only_value(text: str) -> Value:
    root = parse_query(text).root
    assert isinstance(root, Term)
    return root.value


@pytest.mark.parametrize("text", ["", "  ", "\n\t"])
def test_an_empty_query_has_no_root(text: str) -> None:
    assert parse_query(text).root is None


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        (
            "  src.spiffe:a   AND http_request_method:GET ",
            "(src.spiffe=a & method=GET)",
        ),
        ("method:a path:b", "(method=a & path=b)"),
        ("method:a OR path:b host:c", "(method=a | (path=b & host=c))"),
        ("(method:a OR path:b) host:c", "((method=a | path=b) & host=c)"),
        ("method:a && path:b || host:c", "((method=a & path=b) | host=c)"),
        ("NOT method:a AND path:b", "(-method=a & path=b)"),
        ("-method:a !path:b", "(-method=a & -path=b)"),
        ("NOT (method:a path:b)", "-(method=a & path=b)"),
        ("NOT NOT method:a", "--method=a"),
        ("((method:a))", "method=a"),
        ("status:>=400", "status>=400"),
        ('status:<"5"', "status<5"),
        ("status:[400 TO 499]", "status[400,499]"),
        ("status:{400 TO *]", "status{400,None]"),
        ("received:[-1h TO now}", "received[-1h,now}"),
        ('time:["2026-11-21" TO *]', "time[2026-11-21,None]"),
        ("method:(GET, PUT OR POST)", "(method=GET | method=PUT | method=POST)"),
        ("status:(>=500, [400 TO 404])", "(status>=500 | status[400,404])"),
        ("path:(/a/* AND NOT /a/b)", "(path=/a/% & -path=/a/b)"),
        ('path:((a OR b) AND ~"c")', "((path=a | path=b) & path~c)"),
        ("sa:a", "(src.sa=a | dst.sa=a)"),
        ("NOT sa:(a, b)", "-((src.sa=a | dst.sa=a) | (src.sa=b | dst.sa=b))"),
        ("path:AND AND method:OR", "(path=AND & method=OR)"),
    ],
)
def test_terms_are_joined_as_they_are_written(text: str, tree: str) -> None:
    assert spoken(parse_query(text).root) == tree


@pytest.mark.parametrize(
    ("value", "pieces"),
    [
        ("spiffe://td/ns/a", ("spiffe://td/ns/a",)),
        ("/admin/*", ("/admin/", ANY)),
        ("*/sa/checkout", (ANY, "/sa/checkout")),
        ("a*b?c", ("a", ANY, "b", ONE, "c")),
        (r"a\*b\?\\", ("a*b?\\",)),
        (r"\(x\)\ y", ("(x) y",)),
        (r"\>3", (">3",)),
        ("a,b", ("a,b",)),
        ("-15m", ("-15m",)),
        ("*", (ANY,)),
        ('"a b AND c:d"', ("a b AND c:d",)),
        (r'"a \"b\" \\ * ? \n"', (r'a "b" \ * ? \n',)),
        ('""', ()),
        ("2026-11-21T08:00:00Z", ("2026-11-21T08:00:00Z",)),
    ],
)
def test_values_are_read_with_their_wildcards_quotes_and_escapes(
    value: str, pieces: tuple[object, ...]
) -> None:
    assert only_value(f"path:{value}") == Pattern(pieces)  # type: ignore[arg-type]  # literals of both kinds


def test_a_regular_expression_keeps_its_backslashes() -> None:
    assert only_value(r'path:~"^/v\d+/\"\\."') == Regex(r'^/v\d+/"\.')


def test_a_quoted_star_is_a_star_and_a_bare_one_asks_for_any_value() -> None:
    bare, quoted = only_value("path:*"), only_value('path:"*"')
    assert isinstance(bare, Pattern)
    assert isinstance(quoted, Pattern)
    assert bare.is_any
    assert not quoted.is_any
    assert quoted.literal == "*"


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("metod:GET", 0, "did you mean method"),
        ("method:GET AND pathh:/x", 15, "did you mean path"),
        ("spife:x", 0, "did you mean spiffe"),
        ("zzzzz:1", 0, "--fields"),
        ("method", 0, "not field:value"),
        ("payments", 0, "did you mean sa:payments"),
        ("10.0.0.1", 0, "did you mean ip:10.0.0.1"),
        ("/admin/x", 0, "did you mean path:/admin/x"),
        ("403", 0, "did you mean status:403"),
        ("4bf92f3577b34da6a3ce929d0e0e4736", 0, "did you mean trace:4bf92f"),
        ("8c1a2b3c-0d0e-4f10-8111-121314151617", 0, "did you mean request:8c1a"),
        ('"two words"', 0, "not field:value"),
        ("method:GET AND", 14, "ends where a term is due"),
        ("method:GET OR", 13, "ends where a term is due"),
        ("method:GET OR AND path:/x", 14, "AND needs a term on both sides"),
        ("AND method:GET", 0, "AND needs a term on both sides"),
        ("NOT", 3, "ends where a term is due"),
        ("method:", 7, "has no value"),
        ("method: GET", 7, "has no value"),
        ("status:>=", 9, "where a value is due"),
        ("path:(/a OR", 11, "where a value is due"),
        ('path:"/x', 5, "no closing quote"),
        ('path:"/x"y', 9, "a space is due"),
        ("path:/a(b)", 7, "( in a value needs quotes"),
        ("path:/a[1", 7, "[ in a value needs quotes"),
        ("path:a\\", 6, "ends behind a backslash"),
        ("(method:GET", 11, "a ( is not closed"),
        ("path:(/a", 8, "a ( is not closed"),
        ("method:GET)", 10, "no ( for this )"),
        ("()", 1, "a term is due before this )"),
        ("path:(a b)", 8, "where AND, OR, a comma or ) is due"),
        ("status:[400 500]", 12, "TO is missing"),
        ("status:[400 TO 500", 18, "a range ends with ] or }"),
        ("status:[400 TO", 14, "* leaves an end open"),
        ("path:~/x/", 6, "is written in quotes"),
    ],
)
def test_what_is_not_understood_is_refused_where_it_stands(
    text: str, position: int, message: str
) -> None:
    with pytest.raises(QueryError) as caught:
        parse_query(text)
    assert message in caught.value.message
    assert caught.value.facts["position"] == position


def test_a_query_has_bounds_for_length_terms_and_depth() -> None:
    with pytest.raises(QueryError, match="characters"):
        parse_query("path:" + "x" * QUERY_CHARACTERS_MAX)
    parse_query(f"path:({', '.join(['x'] * TERMS_MAX)})")
    with pytest.raises(QueryError, match="terms"):
        parse_query(" ".join(["path:x"] * (TERMS_MAX + 1)))
    parse_query("NOT " * DEPTH_MAX + "path:x")
    with pytest.raises(QueryError, match="deep"):
        parse_query("NOT " * (DEPTH_MAX + 1) + "path:x")
    with pytest.raises(QueryError, match="deep"):
        parse_query("(NOT " * 5_000 + "path:x" + ")" * 5_000)


WORDS = r'path: status: x /a * " \ ( ) [ ] { } TO ~ AND OR NOT , - ! >= < é && 1'


@given(st.lists(st.sampled_from([*WORDS.split(), " ", "\n", "\x00"]), max_size=12).map("".join))
def test_any_text_is_a_query_or_an_error_that_points_into_it(text: str) -> None:
    try:
        parse_query(text)
    except QueryError as error:
        position, length = int(str(error.facts["position"])), int(str(error.facts["length"]))
        assert 0 <= position <= len(text)
        assert length >= 1
