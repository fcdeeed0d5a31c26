r"""The grammar of the query language, for Lark's LALR parser with its contextual lexer.

Lucene's, but for what would mislead in logs of requests: terms side by side are joined by AND, a
regular expression is written ``field:~"…"`` (paths begin and end with slashes), and there are no
scores, so neither fuzziness nor boosting.
"""

from __future__ import annotations

from typing import Final

GRAMMAR: Final = r"""
query: disjunction?

?disjunction: conjunction (_OR conjunction)*
?conjunction: negation (_AND? negation)*
?negation: _NOT negation -> not_
         | "(" disjunction ")"
         | term
term: FIELD _value
    | (LOOSE | QUOTED) -> fieldless

_value: pattern | comparison | regex | range | list
pattern: BARE | QUOTED
comparison: OPERATOR (BARE | QUOTED)
regex: TILDE QUOTED
range: (RANGE_FROM | RANGE_AFTER) _bound _TO _bound (RANGE_TO | RANGE_BEFORE)
_bound: BOUND | QUOTED

list: "(" alternatives ")"
alternatives: all ((_OR | ",") all)* -> disjunction
all: one (_AND one)* -> conjunction
?one: _NOT one -> not_
    | "(" alternatives ")"
    | (ITEM | QUOTED) -> pattern
    | OPERATOR (ITEM | QUOTED) -> comparison
    | regex
    | range

FIELD.3: /[A-Za-z_][A-Za-z0-9_.@-]*:(?=[^ \t\r\n)])/
_AND.4: /AND(?=[\s()]|$)|&&/
_OR.4: /OR(?=[\s()]|$)|\|\|/
_NOT.4: /NOT(?=[\s()]|$)|!|-(?=[A-Za-z_(])/
_TO.4: /TO(?=\s|$)/
OPERATOR.2: />=|<=|>|</
TILDE: "~"
RANGE_FROM: "["
RANGE_AFTER: "{"
RANGE_TO: "]"
RANGE_BEFORE: "}"
QUOTED: /"(?:[^"\\]|\\[\s\S])*"(?=[\s),\]}]|$)/
BARE: /(?:[^\s()\[\]{}"\\~<>]|\\[\s\S])(?:[^\s()\[\]{}"\\]|\\[\s\S])*(?=[\s)]|$)/
LOOSE: /(?:[^\s()\[\]{}"\\]|\\[\s\S])+(?=[\s)]|$)/
ITEM: /(?:[^\s(),\[\]{}"\\~<>]|\\[\s\S])(?:[^\s(),\[\]{}"\\]|\\[\s\S])*(?=[\s),]|$)/
BOUND: /[^\s\[\]{}"()]+(?=[\s\]}]|$)/

%ignore /[ \t\r\n]+/
"""
