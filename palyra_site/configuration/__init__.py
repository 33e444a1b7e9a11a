"""The settings an operator may give, read from the environment and `.env`, checked in one place.

Nothing here touches Django or creates a file: `read` is called by the settings module and by the
command line, which turns a `ConfigurationError` into plain lines, one a fault. Each variable is
described in `.env.example` and `docs/settings.md`; a test keeps the three the same.
"""

from palyra_site.configuration.checked import (
    Configuration,
    ConfigurationError,
    SingleSignOn,
    local_url,
)
from palyra_site.configuration.reading import (
    NOT_OURS,
    RETENTION,
    defaults,
    names,
    read,
    unknown_names,
)
from palyra_site.configuration.sources import ENV_FILE, HOME, PACKAGE_PARENT, Layers, layers

__all__ = [
    "ENV_FILE",
    "HOME",
    "NOT_OURS",
    "PACKAGE_PARENT",
    "RETENTION",
    "Configuration",
    "ConfigurationError",
    "Layers",
    "SingleSignOn",
    "defaults",
    "layers",
    "local_url",
    "names",
    "read",
    "unknown_names",
]
