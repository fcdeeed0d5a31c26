from __future__ import annotations

import pytest
from lark import Lark

from meshtrail.search.grammar import GRAMMAR


@pytest.mark.parametrize("word", ["AND", "OR", "NOT"])
@pytest.mark.parametrize("rest", ["x", "_", ".a", ":"])
def test_a_word_of_the_language_is_one_only_as_a_whole(word: str, rest: str) -> None:
    # ORDER:1 is a field, not "OR DER:1".
    lexed = Lark(GRAMMAR, parser="lalr", start="query", lexer="basic").lex(f"{word}{rest}")
    assert next(str(token) for token in lexed) == f"{word}{rest}"


def test_the_grammar_takes_each_text_in_one_way_only() -> None:
    # LALR refuses a grammar in which two rules would take the same words.
    Lark(GRAMMAR, parser="lalr", start="query", debug=True)
