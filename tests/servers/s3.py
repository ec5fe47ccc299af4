"""A real S3 server on loopback: moto's, with its objects in memory. It takes any secret: rights are not tested with it."""

from __future__ import annotations

import os
import sys

import boto3

from tests.servers.process import Server

BUCKET = "sonoscope"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


class S3(Server):
    """`url` is its endpoint; the bucket is there once it has started. Clients need `CREDENTIALS` in their environment."""

    name = "s3"

    def command(self) -> list[str]:
        """moto's threaded server."""
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]

    def environment(self) -> dict[str, str]:
        """Nothing of this machine's own account."""
        return {**os.environ, **CREDENTIALS}

    def start(self) -> None:
        """Starts it and makes the bucket."""
        super().start()
        self.client().create_bucket(Bucket=BUCKET)

    def client(self):
        """A plain client of the server, to look at it past the code that is tested."""
        named = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        return boto3.client("s3", endpoint_url=self.url, **named)

    def names(self) -> list[str]:
        """What lies in the bucket."""
        return [one["Key"] for one in self.client().list_objects_v2(Bucket=BUCKET).get("Contents", [])]
