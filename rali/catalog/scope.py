"""A :class:`~rali.catalog.records.Scope` as SQL, and what SQL cannot tell of it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rali.catalog.records import Scope
from rali.catalog.rows import split_names
from rali.photos.scan import lets_through


def scope_lets_through(scope: Scope, path: str, companions: bytes) -> bool:
    """Tell if a scope's globs let a shot through."""
    root = next((r for r in scope.roots if path == r or path.startswith(r.rstrip(os.sep) + os.sep)), os.sep)
    return lets_through(path, split_names(companions), root, include=scope.include, exclude=scope.exclude)


def in_scope(scope: Scope) -> tuple[str, str, list[object]]:
    """Return the FROM clause, the WHERE condition and its values for the photos of a scope."""
    source, conditions, values = "photos p", ["1"], list[object]()
    if scope.roots:
        source += " JOIN folders f ON f.id = p.folder_id"
        alternatives = []
        named: dict[bytes, list[bytes]] = {}
        for root in scope.roots:
            # The root may be a folder or a file; if it is gone by now, only the catalog knows which.
            if not os.path.isdir(root):
                folder, name = os.path.split(root)
                named.setdefault(os.fsencode(folder), []).append(os.fsencode(name))
            if not os.path.isfile(root):
                condition, root_values = below(root) if scope.deep else ("f.path = ?", [os.fsencode(root)])
                alternatives.append(condition)
                values += root_values
        for folder_bytes, names in named.items():
            alternatives.append(f"f.path = ? AND p.name IN ({', '.join('?' * len(names))})")
            values += [folder_bytes, *names]
        conditions.append(_any_of(alternatives))
    if scope.since is not None or scope.until is not None:
        source += " JOIN contents c ON c.id = p.content_id"
        if scope.since is not None:
            conditions.append("c.captured_at >= ?")
            values.append(scope.since)
        if scope.until is not None:
            # All that begins with the bound is before the bound and a character that sorts after every digit.
            conditions.append("c.captured_at < ?")
            values.append(scope.until + "~")
    return source, " AND ".join(conditions), values


def whole_folders(scope: Scope) -> tuple[str, list[object]] | None:
    """Return the condition, and its values, that a folder ``f`` lies in a scope; None if it may hold part of one."""
    if scope.since is not None or scope.until is not None or not all(map(os.path.isdir, scope.roots)):
        return None
    if not scope.roots:
        return "1", []
    found = [below(root) if scope.deep else ("f.path = ?", [os.fsencode(root)]) for root in scope.roots]
    return _any_of([condition for condition, _ in found]), [value for _, values in found for value in values]


def _any_of(conditions: Sequence[str]) -> str:
    """Join conditions with OR as a balanced tree: SQLite takes expressions no deeper than 1,000."""
    if len(conditions) == 1:
        return f"({conditions[0]})"
    middle = len(conditions) // 2
    return f"({_any_of(conditions[:middle])} OR {_any_of(conditions[middle:])})"


def below(root: str) -> tuple[str, list[object]]:
    """Return the condition, and its values, that a folder ``f`` is ``root`` or lies below it."""
    start = os.fsencode(root.rstrip(os.sep) + os.sep)
    # The byte after the separator ends the range of everything that begins with it.
    end = start[:-1] + bytes([start[-1] + 1])
    return "(f.path = ? OR (f.path >= ? AND f.path < ?))", [os.fsencode(root), start, end]
