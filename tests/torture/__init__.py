"""Kills a broker under load and checks that nothing acknowledged is lost, doubled or reordered."""
