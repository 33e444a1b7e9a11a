"""One module a provider kind, each with one function: `chat`."""
