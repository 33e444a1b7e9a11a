"""Real processes for the tests: an upstream that answers for a provider, and Palyra itself."""
