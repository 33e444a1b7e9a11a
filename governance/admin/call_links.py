"""Ways from an object's page to its calls in the ledger, for those who may see them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from providers.admin.base import ObjectLink

SEE_CALLS = "governance.view_modelcall"


def calls_links(request: HttpRequest, label: str = "Its calls", **query: Any) -> list[ObjectLink]:
    """A link to the calls that `query` narrows the list to; none for who may not see calls."""
    if not request.user.has_perm(SEE_CALLS):
        return []
    return [ObjectLink(label=label, address=calls_address(**query), icon="forum")]


def calls_address(**query: Any) -> str:
    """The ledger's list, narrowed by `query`."""
    return f"{reverse('admin:governance_modelcall_changelist')}?{urlencode(query)}"
