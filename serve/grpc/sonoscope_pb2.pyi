from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Media(_message.Message):
    __slots__ = ("data", "asset_id", "name")
    DATA_FIELD_NUMBER: _ClassVar[int]
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    asset_id: str
    name: str
    def __init__(self, data: _Optional[bytes] = ..., asset_id: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class Parameters(_message.Message):
    __slots__ = ("inference_steps", "dynamic_scale", "min_resolution", "expand_ratio", "duration_s", "fps", "seed", "keep_resolution", "model_name")
    INFERENCE_STEPS_FIELD_NUMBER: _ClassVar[int]
    DYNAMIC_SCALE_FIELD_NUMBER: _ClassVar[int]
    MIN_RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    EXPAND_RATIO_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    FPS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    KEEP_RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    inference_steps: int
    dynamic_scale: float
    min_resolution: int
    expand_ratio: float
    duration_s: float
    fps: float
    seed: int
    keep_resolution: bool
    model_name: str
    def __init__(self, inference_steps: _Optional[int] = ..., dynamic_scale: _Optional[float] = ..., min_resolution: _Optional[int] = ..., expand_ratio: _Optional[float] = ..., duration_s: _Optional[float] = ..., fps: _Optional[float] = ..., seed: _Optional[int] = ..., keep_resolution: _Optional[bool] = ..., model_name: _Optional[str] = ...) -> None: ...

class Labels(_message.Message):
    __slots__ = ("experiment", "block", "arm", "randomized", "replay_of", "synthetic", "source_prefix")
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    RANDOMIZED_FIELD_NUMBER: _ClassVar[int]
    REPLAY_OF_FIELD_NUMBER: _ClassVar[int]
    SYNTHETIC_FIELD_NUMBER: _ClassVar[int]
    SOURCE_PREFIX_FIELD_NUMBER: _ClassVar[int]
    experiment: str
    block: str
    arm: str
    randomized: bool
    replay_of: str
    synthetic: bool
    source_prefix: str
    def __init__(self, experiment: _Optional[str] = ..., block: _Optional[str] = ..., arm: _Optional[str] = ..., randomized: _Optional[bool] = ..., replay_of: _Optional[str] = ..., synthetic: _Optional[bool] = ..., source_prefix: _Optional[str] = ...) -> None: ...

class GenerateRequest(_message.Message):
    __slots__ = ("portrait", "audio", "parameters", "labels")
    PORTRAIT_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    portrait: Media
    audio: Media
    parameters: Parameters
    labels: Labels
    def __init__(self, portrait: _Optional[_Union[Media, _Mapping]] = ..., audio: _Optional[_Union[Media, _Mapping]] = ..., parameters: _Optional[_Union[Parameters, _Mapping]] = ..., labels: _Optional[_Union[Labels, _Mapping]] = ...) -> None: ...

class GenerateProgress(_message.Message):
    __slots__ = ("job", "result", "error")
    JOB_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    job: Job
    result: GenerateAnswer
    error: Error
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ..., result: _Optional[_Union[GenerateAnswer, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ...) -> None: ...

class GenerateAnswer(_message.Message):
    __slots__ = ("request_id", "job_id", "trace_id", "status", "video_url", "parameters", "outcomes", "advice", "stages")
    class StagesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    VIDEO_URL_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    job_id: str
    trace_id: str
    status: str
    video_url: str
    parameters: Parameters
    outcomes: _struct_pb2.Struct
    advice: _containers.RepeatedScalarFieldContainer[str]
    stages: _containers.ScalarMap[str, float]
    def __init__(self, request_id: _Optional[str] = ..., job_id: _Optional[str] = ..., trace_id: _Optional[str] = ..., status: _Optional[str] = ..., video_url: _Optional[str] = ..., parameters: _Optional[_Union[Parameters, _Mapping]] = ..., outcomes: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., advice: _Optional[_Iterable[str]] = ..., stages: _Optional[_Mapping[str, float]] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("type", "message", "field", "hint", "trace_id")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    type: str
    message: str
    field: str
    hint: str
    trace_id: str
    def __init__(self, type: _Optional[str] = ..., message: _Optional[str] = ..., field: _Optional[str] = ..., hint: _Optional[str] = ..., trace_id: _Optional[str] = ...) -> None: ...

class JobRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("job_id", "request_id", "trace_id", "state", "stage", "step", "steps", "frames", "frames_total", "attempt", "cancel_requested", "queue_position", "expected_s", "accepted_at", "started_at", "ended_at", "removed_at", "result", "error")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    FRAMES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    CANCEL_REQUESTED_FIELD_NUMBER: _ClassVar[int]
    QUEUE_POSITION_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_S_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    REMOVED_AT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    request_id: str
    trace_id: str
    state: str
    stage: str
    step: int
    steps: int
    frames: int
    frames_total: int
    attempt: int
    cancel_requested: bool
    queue_position: int
    expected_s: float
    accepted_at: str
    started_at: str
    ended_at: str
    removed_at: str
    result: GenerateAnswer
    error: Error
    def __init__(self, job_id: _Optional[str] = ..., request_id: _Optional[str] = ..., trace_id: _Optional[str] = ..., state: _Optional[str] = ..., stage: _Optional[str] = ..., step: _Optional[int] = ..., steps: _Optional[int] = ..., frames: _Optional[int] = ..., frames_total: _Optional[int] = ..., attempt: _Optional[int] = ..., cancel_requested: _Optional[bool] = ..., queue_position: _Optional[int] = ..., expected_s: _Optional[float] = ..., accepted_at: _Optional[str] = ..., started_at: _Optional[str] = ..., ended_at: _Optional[str] = ..., removed_at: _Optional[str] = ..., result: _Optional[_Union[GenerateAnswer, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ...) -> None: ...

class RecognizeRequest(_message.Message):
    __slots__ = ("images", "labels")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedCompositeFieldContainer[Media]
    labels: Labels
    def __init__(self, images: _Optional[_Iterable[_Union[Media, _Mapping]]] = ..., labels: _Optional[_Union[Labels, _Mapping]] = ...) -> None: ...

class Words(_message.Message):
    __slots__ = ("en", "zh")
    EN_FIELD_NUMBER: _ClassVar[int]
    ZH_FIELD_NUMBER: _ClassVar[int]
    en: str
    zh: str
    def __init__(self, en: _Optional[str] = ..., zh: _Optional[str] = ...) -> None: ...

class ScoredWords(_message.Message):
    __slots__ = ("en", "zh", "score")
    EN_FIELD_NUMBER: _ClassVar[int]
    ZH_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    en: str
    zh: str
    score: float
    def __init__(self, en: _Optional[str] = ..., zh: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...

class PictureResult(_message.Message):
    __slots__ = ("request_id", "trace_id", "status", "name", "name_differences", "image_hash", "label", "score", "low_confidence", "top3", "faces", "crop_dropped_share", "picture", "advice", "error")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NAME_DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    IMAGE_HASH_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    LOW_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    TOP3_FIELD_NUMBER: _ClassVar[int]
    FACES_FIELD_NUMBER: _ClassVar[int]
    CROP_DROPPED_SHARE_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    trace_id: str
    status: str
    name: str
    name_differences: _containers.RepeatedScalarFieldContainer[str]
    image_hash: str
    label: Words
    score: float
    low_confidence: bool
    top3: _containers.RepeatedCompositeFieldContainer[ScoredWords]
    faces: int
    crop_dropped_share: float
    picture: _struct_pb2.Struct
    advice: _containers.RepeatedScalarFieldContainer[str]
    error: Error
    def __init__(self, request_id: _Optional[str] = ..., trace_id: _Optional[str] = ..., status: _Optional[str] = ..., name: _Optional[str] = ..., name_differences: _Optional[_Iterable[str]] = ..., image_hash: _Optional[str] = ..., label: _Optional[_Union[Words, _Mapping]] = ..., score: _Optional[float] = ..., low_confidence: _Optional[bool] = ..., top3: _Optional[_Iterable[_Union[ScoredWords, _Mapping]]] = ..., faces: _Optional[int] = ..., crop_dropped_share: _Optional[float] = ..., picture: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., advice: _Optional[_Iterable[str]] = ..., error: _Optional[_Union[Error, _Mapping]] = ...) -> None: ...

class RecognizeAnswer(_message.Message):
    __slots__ = ("request_id", "failed", "results")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    failed: int
    results: _containers.RepeatedCompositeFieldContainer[PictureResult]
    def __init__(self, request_id: _Optional[str] = ..., failed: _Optional[int] = ..., results: _Optional[_Iterable[_Union[PictureResult, _Mapping]]] = ...) -> None: ...
