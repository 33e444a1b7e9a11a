"""What the database itself refuses: changing or deleting an entry of the audit trail.

A migration that rebuilds the table on SQLite loses the triggers there, and has to set them again.
"""

from __future__ import annotations

from typing import Any

TABLE = "governance_auditentry"
REFUSED = "The audit trail is append-only."
VERBS = ("UPDATE", "DELETE")


def statements(vendor: str) -> tuple[list[str], list[str]]:
    """The statements that set the triggers, and those that take them away."""
    return _postgresql() if vendor == "postgresql" else _sqlite()


def _sqlite() -> tuple[list[str], list[str]]:
    names = {verb: f"audit_refuses_{verb.lower()}" for verb in VERBS}
    made = [
        f"CREATE TRIGGER {name} BEFORE {verb} ON {TABLE} "
        f"BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END"
        for verb, name in names.items()
    ]
    return made, [f"DROP TRIGGER IF EXISTS {name}" for name in names.values()]


def _postgresql() -> tuple[list[str], list[str]]:
    made = [
        "CREATE OR REPLACE FUNCTION audit_refuses() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{REFUSED}' USING ERRCODE = 'integrity_constraint_violation'; "
        "END $$",
        f"CREATE TRIGGER audit_refuses BEFORE UPDATE OR DELETE ON {TABLE} "
        "FOR EACH ROW EXECUTE FUNCTION audit_refuses()",
    ]
    return made, [
        f"DROP TRIGGER IF EXISTS audit_refuses ON {TABLE}",
        "DROP FUNCTION IF EXISTS audit_refuses()",
    ]


def set_triggers(_apps: Any, schema_editor: Any) -> None:
    """A migration's step forward."""
    for statement in statements(schema_editor.connection.vendor)[0]:
        schema_editor.execute(statement)


def take_triggers_away(_apps: Any, schema_editor: Any) -> None:
    """The step back."""
    for statement in statements(schema_editor.connection.vendor)[1]:
        schema_editor.execute(statement)
