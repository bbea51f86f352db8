"""Real clients against a real broker: kcat, confluent-kafka, Java."""
