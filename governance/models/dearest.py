"""The order of what costs most, the same in every database."""

from __future__ import annotations

from typing import Any

from django.db import models


class DearestIndex(models.Index):
    """Of its fields the first is in the order of the highest first, what is not known last.

    SQLite has that order anyway, and can say nothing else of an index.
    """

    def create_sql(self, model: Any, schema_editor: Any, using: str = "", **more: Any) -> Any:
        if schema_editor.connection.vendor != "postgresql":
            return super().create_sql(model, schema_editor, using, **more)
        plain = models.Index(fields=self.fields, name=self.name)
        (first, order), *others = self.fields_orders
        plain.fields_orders = [(first, f"{order} NULLS LAST"), *others]
        return plain.create_sql(model, schema_editor, using, **more)
