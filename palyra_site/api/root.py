"""The JSON API's root: every room's router under /api/v1/."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponseBase
from ninja import Swagger

from governance.api import router as governance_router
from palyra_site.api import refusals
from palyra_site.api.auth import NotAuthenticated, SignedIn, TeamKey
from palyra_site.api.openapi import DescribedAPI
from palyra_site.api.parser import StrictParser, with_query_names
from providers.api import router as providers_router
from scheduling.api import router as scheduling_router

DESCRIPTION = """\
The registry, budgets, calls and schedules, for programs.

**Who asks.** Send a team's key as `Authorization: Bearer ply_…`: it sees and acts for its own team.
Or use the session of someone signed in, with the CSRF token in `X-CSRFToken`: a member acts for
their teams, and whoever holds a permission acts for the whole organisation.

**How values are written.** Money and other amounts of budgets are strings, money in US dollars with
nine decimal places. Times are ISO 8601 in UTC. Identifiers are strings.

**Lists** come in pages: send `next_cursor` back as `cursor` until it is null.

**Refusals** are `application/problem+json` (RFC 9457). `detail` says what happened and what to do;
`errors` names every field at fault at once; a refused request has changed nothing.
"""


# Swagger UI sets styles on elements and draws its icons from data addresses.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
)


def known_people_only(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Show the docs to people signed in, and the document to keys as well."""

    @wraps(view, assigned=())
    def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            if request.path.endswith(str(api.docs_url)):
                return redirect_to_login(request.get_full_path())
            try:
                if TeamKey()(request) is None:
                    return refusals.nobody(request)
            except NotAuthenticated as error:
                return refusals.not_authenticated(request, error)
        response = view(request, *args, **kwargs)
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        return response

    return shown


api = DescribedAPI(
    title="Palyra API",
    version="1",
    description=DESCRIPTION,
    urls_namespace="api-v1",
    auth=[TeamKey(), SignedIn()],
    parser=StrictParser(),
    # Without it the page would send the document's address to a validator elsewhere.
    docs=Swagger(settings={"validatorUrl": None, "defaultModelsExpandDepth": 0}),
    docs_decorator=known_people_only,
)
refusals.install(api)
api.add_decorator(with_query_names, mode="view")
api.add_router("", providers_router, tags=["Providers and models"])
api.add_router("", governance_router)
api.add_router("", scheduling_router)
