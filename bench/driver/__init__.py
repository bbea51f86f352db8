"""Drives brokers, measures them, prints what came of it. `bench/run` calls it; bench/README.md explains the method."""
