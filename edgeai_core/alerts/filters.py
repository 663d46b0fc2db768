"""What may be asked of the journal, checked and turned into a SQL condition.

Names are this module's own; what comes from outside is only ever bound as a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgeai_core.alerts import walltime
from edgeai_core.alerts.alert import AlertState
from edgeai_core.decision import Priority
from edgeai_core.errors import InputError


def where_equal(filters: Mapping[str, object]) -> tuple[str, list[object]]:
    """Return the SQL condition that each column given equals its value (or one of its values), and the values."""
    clauses, values = ["1"], list[object]()
    for name, value in filters.items():
        if isinstance(value, tuple):
            clauses.append(f"{name} IN ({', '.join('?' * len(value))})")
            values.extend(value)
        elif value is not None:
            clauses.append(f"{name} = ?")
            values.append(value)
    return " AND ".join(clauses), values


def choices(name: str, given: str | Sequence[str] | None, kind: type[AlertState] | type[Priority]) -> object:
    """Return one value or several of an enumeration as a tuple. Raises InputError for one that is none."""
    if given is None:
        return None
    chosen = (given,) if isinstance(given, str) else tuple(given)
    known = [each.value for each in kind]
    for value in chosen:
        if value not in known:
            raise InputError(f"{name}: {str(value)[:50]!r} is none of {', '.join(known)}")
    return tuple(str(value) for value in chosen)


def iso(name: str, text: str | None) -> str | None:
    """Return a time from outside in the journal's form. Raises InputError where it is none."""
    if text is None:
        return None
    try:
        return walltime.normalised_iso(text)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{name}: {text[:50]!r} is not an ISO 8601 time") from error
