"""Roles and what they may do, and the one place that makes them from a log-in's claims: for the service and for the console."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

Role = Literal["viewer", "operator", "auditor"]
ROLES: tuple[Role, ...] = get_args(Role)
Scope = Literal["read", "write", "all_departments", "audit"]
SCOPES: dict[Role, frozenset[Scope]] = {
    "viewer": frozenset({"read"}),
    "operator": frozenset({"read", "write"}),
    "auditor": frozenset({"read", "all_departments", "audit"}),
}
"""A viewer reads what its department made, an operator also makes, cancels and scores; an auditor reads every department's and
the audit trail, and makes nothing."""
STRONGEST: tuple[Role, ...] = ("auditor", "operator", "viewer")
"""Of several roles the first counts: whoever audits makes nothing, whatever else that person is."""
ROLE_CLAIM, DEPARTMENT_CLAIM = "roles", "department"


def claimed(
    claims: Mapping[str, Any],
    *,
    role_claim: str = ROLE_CLAIM,
    department_claim: str = DEPARTMENT_CLAIM,
    names: Mapping[str, Role] | None = None,
) -> tuple[Role, str] | None:
    """The role and department that claims give; None where either is missing.

    A claim is named by its path (`realm_access.roles`); a role is one text or a list. `names`: what the issuer calls our roles
    (their own names where it is not given).
    """
    known = names or {role: role for role in ROLES}
    found = _at(claims, role_claim)
    said = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    roles = {known[one] for one in said if isinstance(one, str) and one in known}
    department = _at(claims, department_claim)
    if not roles or not isinstance(department, str) or not department.strip() or len(department) > 128:
        return None
    return next(role for role in STRONGEST if role in roles), department


def _at(claims: Mapping[str, Any], path: str) -> Any:
    if path in claims:  # names such as https://example.org/roles have dots that are no path
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
