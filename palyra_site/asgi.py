"""What an ASGI server runs: `palyra web`, or any other with its lifespan on."""

from __future__ import annotations

import os
from typing import cast

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "palyra_site.settings")
django_application = get_asgi_application()

# Models can be imported only now that Django is set up.
from palyra_site.web import Application, WebApplication  # noqa: E402

application = WebApplication(cast("Application", django_application))
