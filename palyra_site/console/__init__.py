"""The administrators' console: its site, navigation and overview."""
