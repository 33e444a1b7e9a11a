"""`/v1`: OpenAI's protocol on a short ASGI chain of its own, beside full Django.

It is the hot path, so nothing here touches the database or a middleware: keys come from the
snapshot, and calls go to `governance.calls`, which every other surface uses as well.
"""
