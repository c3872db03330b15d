"""ADQL queries by recursive descent: what stands around value expressions (ADQL 2.1, appendix A).

The grammar's production stands in the docstring of the function that parses it.
"""

from __future__ import annotations

from typing import Literal, cast

from tap.adql import tree
from tap.adql.cursor import NAMES
from tap.adql.expressions import ExpressionParser
from tap.adql.lexer import Version

SELECT_LIMIT = 32
"""Queries within queries at most: less than parentheses, as the way from one to the next is longer."""

JOIN_LIMIT = 64
"""Joins of a query at most: each is a level of the tree."""

_JOIN_WORDS = frozenset({"NATURAL", "INNER", "LEFT", "RIGHT", "FULL", "JOIN"})


def parse(text: str, *, version: Version = "2.1") -> tree.Query:
    """The tree of a query. One `;` at the end is forgiven. Raises AdqlError."""
    return _QueryParser(text, version).whole_query()


class _QueryParser(ExpressionParser):
    """Adds queries and tables to expressions."""

    def __init__(self, text: str, version: Version) -> None:
        super().__init__(text, version)
        self._selects = 0
        self._joins = 0

    def whole_query(self) -> tree.Query:
        """`[ <with_clause> ] <select_expression>`"""
        at = self.token.at
        common = self._with_clause() if self.at("WITH") else ()
        expression = self.query_expression()
        self.accept(";")
        if self.token.kind != "end":
            raise self.unexpected("the end of the query")
        return tree.Query(expression, common, self.text, at)

    def _with_clause(self) -> tuple[tree.CommonTable, ...]:
        """`WITH <query_name> AS ( <select_expression> ) { , ... }`"""
        self.only_in_2_1("WITH")
        self.advance()
        tables = [self._common_table()]
        while self.accept(","):
            tables.append(self._common_table())
        return tuple(tables)

    def _common_table(self) -> tree.CommonTable:
        at = self.token.at
        name = self.identifier("a name for the common table")
        if self.at("("):
            raise self.error("A common table has no list of columns", hint="They are named in its SELECT: a AS name")
        self.expect("AS")
        self.expect("(", "the query of the common table in parentheses")
        query = self.query_expression()
        self.expect(")")
        return tree.CommonTable(name, query, at)

    # Queries

    def query_expression(self) -> tree.QueryExpression:
        """`<query_set_expression> [ <order_by_clause> ] [ <offset_clause> ]`"""
        at = self.token.at
        body = self._union()
        order_by = self._order_by() if self.at("ORDER") else ()
        offset = self._offset() if self.at("OFFSET") else None
        return tree.QueryExpression(body, order_by, offset, at)

    def _union(self) -> tree.QueryBody:
        """`<query_set_term> { { UNION | EXCEPT } [ ALL ] <query_set_term> }`"""
        at = self.token.at
        first = self._intersection()
        steps: list[tuple[Literal["UNION", "EXCEPT", "INTERSECT"], bool, tree.QueryBody]] = []
        while self.at("UNION") or self.at("EXCEPT"):
            operator = cast("Literal['UNION', 'EXCEPT']", self.set_operator())
            steps.append((operator, self.accept("ALL"), self._intersection()))
        return tree.SetOperation(first, tuple(steps), at) if steps else first

    def _intersection(self) -> tree.QueryBody:
        """`<query_set_primary> { INTERSECT [ ALL ] <query_set_primary> }`"""
        at = self.token.at
        first = self._query_primary()
        steps: list[tuple[Literal["UNION", "EXCEPT", "INTERSECT"], bool, tree.QueryBody]] = []
        while self.at("INTERSECT"):
            self.set_operator()
            steps.append(("INTERSECT", self.accept("ALL"), self._query_primary()))
        return tree.SetOperation(first, tuple(steps), at) if steps else first

    def set_operator(self) -> str:
        self.only_in_2_1(self.token.kind)
        return self.advance().kind

    def _query_primary(self) -> tree.QueryBody:
        """`<select_query> | ( <select_expression> )`"""
        return self.subquery() if self.at("(") else self._select()

    def _select(self) -> tree.Select:
        """`SELECT [ DISTINCT | ALL ] [ TOP n ] <select_list> FROM ... [ WHERE ] [ GROUP BY ] [ HAVING ]`"""
        at = self.token.at
        self._selects += 1
        if self._selects > SELECT_LIMIT:
            raise self.error(f"Queries are nested too deeply: at most {SELECT_LIMIT} levels are accepted")
        self.expect("SELECT")
        distinct = self._set_quantifier()
        top = self.unsigned("TOP takes a number of rows") if self.accept("TOP") else None
        items = self._select_list()
        self.expect("FROM", "a comma or FROM")
        tables = [self._table_reference()]
        while self.accept(","):
            tables.append(self._table_reference())
        where = self.condition() if self.accept("WHERE") else None
        group_by = self._group_by() if self.accept("GROUP") else ()
        having = self.condition() if self.accept("HAVING") else None
        self._selects -= 1
        return tree.Select(items, tuple(tables), where, group_by, having, distinct, top, at)

    def _set_quantifier(self) -> bool:
        """`[ DISTINCT | ALL ]`; True for DISTINCT."""
        return self.accept("DISTINCT") or (self.accept("ALL") and False)

    def _select_list(self) -> tuple[tree.AllColumns | tree.SelectItem, ...]:
        """`<select_sublist> { , <select_sublist> }`; a `*` may stand among others, as services always allowed."""
        items = [self._select_item()]
        while self.accept(","):
            items.append(self._select_item())
        return tuple(items)

    def _select_item(self) -> tree.AllColumns | tree.SelectItem:
        """`<value_expression> [ [ AS ] <column_name> ] | [ <qualifier> . ] *`"""
        at = self.token.at
        if self.accept("*"):
            return tree.AllColumns(None, at)
        if (table := self._qualifier_before_star()) is not None:
            return tree.AllColumns(table, at)
        value = self.value()
        return tree.SelectItem(value, self._alias(), at)

    def _qualifier_before_star(self) -> tree.TableName | None:
        """The name of `name.*`, with its `.*` read; None if something else stands here."""
        ahead = 0
        while self.peek(ahead).kind in NAMES and self.peek(ahead + 1).kind == ".":
            ahead += 2
        if ahead == 0 or self.peek(ahead).kind != "*":
            return None
        at = self.token.at
        parts = []
        while not self.accept("*"):
            parts.append(self.identifier("a table name"))
            self.advance()
        return tree.TableName(tuple(parts), at)

    def _alias(self) -> tree.Identifier | None:
        """`[ [ AS ] <identifier> ]`"""
        if self.accept("AS"):
            return self.identifier("a name after AS")
        return self.identifier("a name") if self.token.kind in NAMES else None

    def _group_by(self) -> tuple[tree.Value, ...]:
        """`GROUP BY <group_by_term> { , <group_by_term> }`"""
        self.expect("BY")
        terms = [self.value()]
        while self.accept(","):
            terms.append(self.value())
        return tuple(terms)

    def _order_by(self) -> tuple[tree.OrderTerm, ...]:
        """`ORDER BY <order_by_expression> [ ASC | DESC ] { , ... }`"""
        self.advance()
        self.expect("BY")
        terms = [self._order_term()]
        while self.accept(","):
            terms.append(self._order_term())
        return tuple(terms)

    def _order_term(self) -> tree.OrderTerm:
        at = self.token.at
        value = self.value()
        descending = self.accept("DESC")
        if not descending:
            self.accept("ASC")
        return tree.OrderTerm(value, descending, at)

    def _offset(self) -> int:
        """`OFFSET <unsigned_decimal>`"""
        self.only_in_2_1("OFFSET")
        self.advance()
        return self.unsigned("OFFSET takes a number of rows")

    # Tables

    def _table_reference(self) -> tree.TableReference:
        """`<table_primary> { [ NATURAL ] [ <join_type> ] JOIN <table_primary> [ <join_specification> ] }`"""
        left = self._table_primary()
        while self.token.kind in _JOIN_WORDS:
            left = self._join(left)
        return left

    def _join(self, left: tree.TableReference) -> tree.Join:
        """`[ NATURAL ] [ <join_type> ] JOIN <table_primary> [ ON <search_condition> | USING ( ... ) ]`"""
        at = self.token.at
        self._joins += 1
        if self._joins > JOIN_LIMIT:
            raise self.error(f"The query has too many joins: at most {JOIN_LIMIT} are accepted")
        natural = self.accept("NATURAL")
        kind = self._join_type()
        self.expect("JOIN")
        right = self._table_primary()
        condition: tree.Condition | None = None
        using: tuple[tree.Identifier, ...] = ()
        if self.accept("ON"):
            condition = self.condition()
        elif self.accept("USING"):
            using = self._using()
        if natural and (condition or using):
            raise self.error("A NATURAL JOIN has neither ON nor USING", at)
        return tree.Join(left, right, kind, natural, condition, using, at)

    def _join_type(self) -> Literal["INNER", "LEFT", "RIGHT", "FULL"]:
        """`[ INNER | { LEFT | RIGHT | FULL } [ OUTER ] ]`"""
        kinds: tuple[Literal["LEFT", "RIGHT", "FULL"], ...] = ("LEFT", "RIGHT", "FULL")
        for kind in kinds:
            if self.accept(kind):
                self.accept("OUTER")
                return kind
        self.accept("INNER")
        return "INNER"

    def _using(self) -> tuple[tree.Identifier, ...]:
        """`USING ( <column_name> { , <column_name> } )`"""
        self.expect("(", "the columns to join on, in parentheses")
        columns = [self.identifier("a column name")]
        while self.accept(","):
            columns.append(self.identifier("a column name"))
        self.expect(")")
        return tuple(columns)

    def _table_primary(self) -> tree.TableReference:
        """`<table_name> [ [ AS ] <alias> ] | <subquery> [ AS ] <alias> | ( <joined_table> )`"""
        at = self.token.at
        if not self.at("("):
            return tree.NamedTable(self._table_name(), self._alias(), at)
        if self.encloses_query():
            query = self.subquery()
            alias = self._alias()
            if alias is None:
                raise self.error("A subquery in FROM needs a name", hint="For example: FROM (SELECT ...) AS sub")
            return tree.DerivedTable(query, alias, at)
        self.advance()
        table = self._table_reference()
        if not isinstance(table, tree.Join):
            raise self.unexpected("JOIN")
        self.expect(")")
        return table

    def _table_name(self) -> tree.TableName:
        """`[ [ <catalog_name> . ] <schema_name> . ] <table_name>`"""
        at = self.token.at
        parts = [self.identifier("the name of a table")]
        while len(parts) < 3 and self.accept("."):
            parts.append(self.identifier("a name after the dot"))
        return tree.TableName(tuple(parts), at)

    def subquery(self) -> tree.QueryExpression:
        """`( <query_expression> )`"""
        self.expect("(", "a subquery in parentheses")
        query = self.query_expression()
        self.expect(")")
        return query
