"""Lists of tables that grow without end: no page takes longer because there are more rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.admin.views.main import ChangeList as DjangoChangeList
from django.core.paginator import Paginator
from django.utils.functional import cached_property

if TYPE_CHECKING:
    ChangeList = DjangoChangeList
else:
    from unfold.views import ChangeList

# Rows that are counted and can be paged to; a filter leads to what lies beyond.
MOST_COUNTED = 10_000


class BoundedPaginator(Paginator[Any]):
    """Counts no further than `MOST_COUNTED`, and has no pages beyond."""

    @cached_property
    def counted(self) -> int:
        """How many there are, or one more than is counted."""
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[: MOST_COUNTED + 1].count())

    @cached_property
    def count(self) -> int:
        return min(self.counted, MOST_COUNTED)

    @property
    def has_more(self) -> bool:
        """Whether there are more than can be paged to."""
        return self.counted > MOST_COUNTED


class BoundedList(ChangeList):
    """A list that knows whether there are more rows than it counts, and is sorted by nothing but
    what it offers to be sorted by, whatever its address says."""

    def get_ordering_field(self, field_name: Any) -> Any:
        offered = self.sortable_by is None or field_name in self.sortable_by
        return super().get_ordering_field(field_name) if offered else None

    @property
    def has_more(self) -> bool:
        """Whether `result_count` is less than there are."""
        paginator: Any = self.paginator
        return bool(paginator.has_more)
