"""Every API at every version, by a client that writes what Kafka's schemas allow and no library lets through."""
