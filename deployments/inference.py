"""Stage run_inference: a backend's frames as a stream of references, with progress, cancellation and backpressure."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import torch
from ray import serve

from deployments.config import StageConfig, replica_id
from deployments.device import Turn, Turns, described, limit_memory, memory, out_of_memory, pick_device, recover
from deployments.faults import AnyFault, MemoryLimit
from deployments.flow import ConsumerGone, CreditAddress, CreditGate
from deployments.messages import RUN_INFERENCE, Frames, Progress, StreamEnd
from deployments.models.protocol import Portrait, Speech, TalkingHead, load_backend
from deployments.models.ranges import refuse_outside
from telemetry.context import RequestContext
from telemetry.errors import RequestError
from telemetry.tracing import stage

__all__ = ["Producer", "RunInference", "Stopped", "pick_device"]

PROGRESS_S = 0.05
"""Seconds between two progress messages of one stage: each costs about 2 ms of a core, and nobody sees more than 20 a second."""


class Stopped(Exception):
    """The request was cancelled, or nobody takes its frames any more."""


class Producer:
    """Runs a backend in a thread, chunk by chunk, and hands every message to `send`."""

    def __init__(self, backend: TalkingHead, gate: CreditGate, send: Callable[[Any], None], check: Callable[[], None], turn: Turn):
        self._backend = backend
        self._turn = turn
        self._gate = gate
        self._send = send
        self._check = check
        self._last_progress = 0.0
        self.waited_s = 0.0

    def run(self, portrait: Portrait, speech: Speech, parameters: Mapping[str, Any]) -> None:
        """Sends Progress and Frames; raises what the backend raises, Stopped, or ConsumerGone."""
        with self._turn:
            for chunk in self._backend.generate(portrait, speech, parameters, self._on_step):
                self._check()
                with self._turn.paused():
                    self.waited_s += self._gate.take()
                self._send(Frames(chunk))

    def _on_step(self, step: int, steps: int) -> None:
        self._check()
        now = time.monotonic()
        if step in (1, steps) or now - self._last_progress >= PROGRESS_S:
            self._last_progress = now
            self._send(Progress(RUN_INFERENCE, step, steps))


@serve.deployment(name=RUN_INFERENCE)
class RunInference:
    """One backend on one device, as many requests at a time as the stage's max_ongoing_requests."""

    def __init__(self, config: StageConfig, model_name: str = "lite"):
        self._telemetry = config.telemetry()
        self._faults = config.faults()
        self._device = pick_device(config.device)
        # Drawing a frame takes about as long as encoding it, and both go on at once: with all cores for drawing, the threads of the
        # two take turns (a 10 s clip on two cores: 1.42 of the bound of bench/pipeline.py with two threads, 1.29 with one).
        torch.set_num_threads(config.torch_threads or max(1, len(os.sched_getaffinity(0)) // 2))
        self._options = config.backend_options
        self._backends = {model_name: self._load(model_name)}
        self._loading = threading.Lock()
        self._turns = Turns(self._device)
        self._about = described(self._device)
        self._threads = ThreadPoolExecutor(config.inference_together, "inference")
        limit_memory(self._device, share=config.device_memory_share)

    def _load(self, name: str) -> TalkingHead:
        backend = load_backend(name, self._options.get(name))
        backend.load(self._device)
        return backend

    async def generate(
        self,
        context: RequestContext,
        parameters: Mapping[str, Any],
        portrait: Portrait,
        speech: Speech,
        credit: CreditAddress,
    ) -> AsyncIterator[Progress | Frames | StreamEnd]:
        """Streams progress, frames and at last the fields.

        Raises RequestError: invalid_parameter, out_of_memory, inference_diverged, deadline_exceeded, cancelled.
        """
        with stage(self._telemetry, RUN_INFERENCE, context, device=self._about) as span:
            context.check_deadline(RUN_INFERENCE)
            # In the thread: checking a large model's files must not hold up the replica's health checks.
            name = str(parameters["model_name"])
            backend = await asyncio.get_running_loop().run_in_executor(self._threads, self._backend, name)
            refuse_outside(backend.name, backend.parameters, parameters)
            span.set(replica=replica_id(), host=socket.gethostname(), device=self._about, model_version=backend.version)
            span.set(**{name: parameters[name] for name in ("inference_steps", "dynamic_scale", "fps", "seed")})
            faults = await self._faults.strike(self._telemetry, span, {**parameters, "replica": replica_id()})
            _limit_memory(faults, portrait)
            loop = asyncio.get_running_loop()
            messages: asyncio.Queue[Any] = asyncio.Queue()
            stop = threading.Event()

            def check() -> None:
                if stop.is_set():
                    raise Stopped
                context.check_deadline(RUN_INFERENCE)

            def send(message: Any) -> None:
                loop.call_soon_threadsafe(messages.put_nowait, message)

            gate = await CreditGate.connect(credit, on_gone=stop.set)
            turn = Turn(self._turns)
            producer = Producer(backend, gate, send, check, turn)
            work = loop.run_in_executor(self._threads, producer.run, portrait, speech, parameters)
            work.add_done_callback(lambda _: messages.put_nowait(None))
            try:
                while (message := await messages.get()) is not None:
                    yield message
                await _outcome(work)
            except RequestError as error:
                if error.type == "out_of_memory":
                    await loop.run_in_executor(self._threads, recover, error, self._device)
                raise
            finally:
                stop.set()
                gate.close()
                # The next request must not start while this one still holds the device.
                await asyncio.wait([work])
                span.set(**memory(self._device))
            span.waited(producer.waited_s)
            span.set(device_s=turn.seconds)
        self._telemetry.events.write_row("inference_complete", span.context, span.fields)
        yield StreamEnd(span.fields)

    def _backend(self, name: str) -> TalkingHead:
        with self._loading:
            if name not in self._backends:
                self._backends[name] = self._load(name)
            return self._backends[name]


def _limit_memory(faults: tuple[AnyFault, ...], portrait: Portrait) -> None:
    """Raises RequestError(out_of_memory) where a drill's memory limit is below the picture's size, as a full device would."""
    pixels = portrait.pixels.shape[0] * portrait.pixels.shape[1]
    if any(isinstance(fault, MemoryLimit) and pixels > fault.max_pixels for fault in faults):
        raise RequestError("out_of_memory", "The device has too little memory for this request.", stage=RUN_INFERENCE)


async def _outcome(work: asyncio.Future[None]) -> None:
    """Waits for the thread, and turns what it raised into the table's errors."""
    try:
        await work
    except (Stopped, ConsumerGone) as error:
        raise RequestError("cancelled", "The work was stopped.", stage=RUN_INFERENCE) from error
    except (RuntimeError, MemoryError, cv2.error) as error:
        if not out_of_memory(error):
            raise
        whose = "device" if isinstance(error, torch.OutOfMemoryError) else "host"
        raise RequestError("out_of_memory", f"The {whose} has too little memory for this request.", stage=RUN_INFERENCE) from error
