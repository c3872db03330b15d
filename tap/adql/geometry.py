"""Geometry constructors and functions by recursive descent (ADQL 2.1, section 4.2, and appendix A)."""

from __future__ import annotations

from tap.adql import hints, tree
from tap.adql.functions import FunctionParser


class GeometryParser(FunctionParser):
    """Adds the functions of geometry to the others."""

    GEOMETRY = frozenset(
        {"POINT", "CIRCLE", "BOX", "POLYGON", "REGION", "CENTROID", "AREA", "COORD1", "COORD2", "COORDSYS"}
        | {"CONTAINS", "INTERSECTS", "DISTANCE"}
    )
    """The words that `geometry` reads."""

    def geometry(self) -> tree.Value:
        """`<geometry_value_function>`, `<numeric_geometry_function>` or `<string_geometry_function>`"""
        token = self.advance()
        match token.kind:
            case "POINT":
                coordsys, (longitude, latitude) = self._shape(2, 2)
                return tree.Point(self.as_number(longitude), self.as_number(latitude), coordsys, token.at)
            case "CIRCLE":
                coordsys, arguments = self._shape(2, 3)
                radius = self.as_number(arguments[-1])
                return tree.Circle(self._centre(arguments[:-1]), radius, coordsys, token.at)
            case "BOX":
                coordsys, arguments = self._shape(3, 4)
                width, height = (self.as_number(argument) for argument in arguments[-2:])
                return tree.Box(self._centre(arguments[:-2]), width, height, coordsys, token.at)
            case "POLYGON":
                coordsys, arguments = self._shape(3, None)
                return tree.Polygon(self._vertices(arguments), coordsys, token.at)
            case "REGION":
                return self._region(token.at)
            case "DISTANCE":
                return self._distance(token.at)
            case "CONTAINS" | "INTERSECTS":
                first, second = (self._as_geometry(argument) for argument in self.arguments(2, 2))
                return tree.GeometryPredicate(token.kind, first, second, token.at)
            case name:
                return self._property(name, token.at)

    def _property(self, name: str, at: int) -> tree.Value:
        """`<centroid>`, `<extract_coordsys>`, `<area>`, `<coord1>` or `<coord2>`"""
        (argument,) = self.arguments(1, 1)
        operand = self._as_geometry(argument)
        if name == "CENTROID":
            return tree.Centroid(operand, at)
        if name == "COORDSYS":
            return tree.CoordSys(operand, at)
        return tree.GeometryProperty(name, operand, at)

    def _shape(self, least: int, most: int | None) -> tuple[tree.String | None, tuple[tree.Value, ...]]:
        """`( [ <coord_sys> , ] <value_expression> { , <value_expression> } )`, so many besides the coordinate system.

        ADQL 2.0 asked for the coordinate system; old clients send NULL or an empty string for it.
        """
        arguments = self.arguments(least, None if most is None else most + 1)
        first = arguments[0]
        coordsys = first if isinstance(first, tree.String) and first.value else None
        rest = arguments[1:] if isinstance(first, tree.String | tree.Null) else arguments
        if len(rest) < least or (most is not None and len(rest) > most):
            wanted = str(least) if least == most else f"{least} or {most}" if most is not None else f"at least {least}"
            problem = f"{len(rest)} arguments describe this shape; expected {wanted}"
            raise self.error(problem, first.at, hint=hints.for_argument(first))
        return coordsys, rest

    def _centre(self, arguments: tuple[tree.Value, ...]) -> tree.Value:
        """`<coordinates> | <coord_value>`"""
        if len(arguments) == 1:
            return self._as_point(arguments[0])
        longitude, latitude = (self.as_number(argument) for argument in arguments)
        return tree.Point(longitude, latitude, at=longitude.at)

    def _vertices(self, arguments: tuple[tree.Value, ...]) -> tuple[tree.Value, ...]:
        """`<coordinates> , <coordinates> , <coordinates> ... | <coord_value> , <coord_value> , <coord_value> ...`

        Names of columns alone do not tell which of the two is meant: an even number from six on are coordinates.
        """
        count = len(arguments)
        points = any(argument.kind == "geometry" for argument in arguments)
        if points or ((count % 2 or count < 6) and all(argument.kind == "any" for argument in arguments)):
            return tuple(self._as_point(argument) for argument in arguments)
        if count % 2 or count < 6:
            raise self.error("A polygon takes three or more vertices, two coordinates each", arguments[0].at)
        numbers = [self.as_number(argument) for argument in arguments]
        return tuple(
            tree.Point(longitude, latitude, at=longitude.at)
            for longitude, latitude in zip(numbers[::2], numbers[1::2], strict=True)
        )

    def _region(self, at: int) -> tree.Value:
        """`REGION ( <character_string_literal> )`"""
        (text,) = self.arguments(1, 1)
        return tree.Region(self.as_literal_string(text, "REGION takes its description"), at)

    def _distance(self, at: int) -> tree.Value:
        """`DISTANCE ( <coord_value> , <coord_value> ) | DISTANCE ( four <numeric_value_expression> )`"""
        arguments = self.arguments(2, 4)
        if len(arguments) == 3:
            raise self.error("DISTANCE takes two points or four coordinates", arguments[0].at)
        if len(arguments) == 2:
            return tree.Distance(self._as_point(arguments[0]), self._as_point(arguments[1]), at)
        self.only_in_2_1("DISTANCE of four coordinates")
        return tree.Distance(self._centre(arguments[:2]), self._centre(arguments[2:]), at)

    def _as_geometry(self, node: tree.Value) -> tree.Value:
        if node.kind not in ("geometry", "any") or isinstance(node, tree.Null):
            raise self.error("Expected a geometry (POINT, CIRCLE, BOX, POLYGON, REGION or a column)", node.at)
        return node

    def _as_point(self, node: tree.Value) -> tree.Value:
        """`<point_value> | <column_reference>`"""
        if not isinstance(node, tree.Point | tree.Centroid | tree.ColumnReference | tree.UserFunction):
            raise self.error("Expected a POINT or a column of points", node.at)
        return node
