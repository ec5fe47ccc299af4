"""The queue door: requests from a Kafka topic, results to another, through the service's HTTP door (docs/kafka.md)."""
