"""The test suites of other projects, run against a broker as they are, and the report card that comes of it."""
