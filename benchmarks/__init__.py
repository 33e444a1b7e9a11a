"""What Palyra takes for what it does, measured on the machine at hand; no part of the tests."""
