"""The JSON API under /api/: its root, who may enter, and how it says no."""
