"""Settings of the queue door: which brokers, topics and group `sonoscope consume` speaks to. No broker is reached from here."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

_TOPIC = r"^[A-Za-z0-9._-]{1,249}$"
_OURS = ("bootstrap.servers", "group.", "transactional.", "enable.", "auto.offset.reset", "isolation.level", "acks", "max.poll.")


class KafkaSettings(BaseModel):
    """One group of one cluster; SONOSCOPE_KAFKA__BROKERS and so on."""

    model_config = ConfigDict(extra="forbid")

    brokers: str = Field(min_length=1, description="host:port,host:port of some brokers")
    requests: str = Field(default="sonoscope-requests", pattern=_TOPIC, description="topic that requests are taken from")
    results: str = Field(default="sonoscope-results", pattern=_TOPIC, description="topic that results are given to")
    dead_letters: str = Field(
        default="sonoscope-dead-letters", pattern=_TOPIC, description="topic of what cannot be made, with the reason in headers"
    )
    group: str = Field(default="sonoscope", min_length=1, max_length=200, description="consumer group; one consumer at a time")
    max_message_bytes: int = Field(
        default=8 * 2**20, ge=1024, le=64 * 2**20, description="size of a request's message; a larger one is a dead letter"
    )
    max_unfinished: int = Field(default=32, ge=1, le=1000, description="jobs handed in at a time; beyond it the topic waits")
    client: dict[str, SecretStr] = Field(
        default_factory=dict, description="more properties of librdkafka as JSON, such as security.protocol and sasl.password"
    )

    @field_validator("client")
    @classmethod
    def _guarantees_stay(cls, given: dict[str, SecretStr]) -> dict[str, SecretStr]:
        """The properties that the guarantees stand on are not for changing."""
        if taken := [name for name in given if name.startswith(_OURS)]:
            raise ValueError(f"{taken[0]} is set by Sonoscope; leave it out")
        return given
