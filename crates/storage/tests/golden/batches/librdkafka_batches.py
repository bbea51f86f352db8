"""Sends the golden records with librdkafka, one batch to a topic for each codec: `librdkafka_batches.py HOST:PORT`."""

import sys

from confluent_kafka import Producer

for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
    producer = Producer(
        {
            "bootstrap.servers": sys.argv[1],
            "compression.type": codec,
            "enable.idempotence": True,
            "linger.ms": 3000,
            "sticky.partitioning.linger.ms": 0,
        }
    )
    for i in range(4 if codec == "none" else 60):
        producer.produce(
            f"librdkafka-{codec}",
            partition=0,
            key=None if i % 7 == 3 else f"key-{i}",
            value=None if i % 11 == 5 else f"record {i}: " + "all work and no play " * (1 if codec == "none" else 75),
            timestamp=1_700_000_000_000 + i,
            headers=[] if i % 2 == 0 else [("number", str(i)), ("number", None)],
        )
    producer.flush()
