"""Validation, defaults and advice come from the table, and say what to do."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.schema import generate_body, parse_order, parse_parameters
from telemetry import fields
from telemetry.errors import RequestError

NUMBERS = [field for field in fields.PARAMETERS if field.minimum is not None]


def test_what_is_not_given_is_the_default_and_a_seed_is_drawn() -> None:
    values = parse_parameters({})
    assert {name: value for name, value in values.items() if name != "seed"} == {
        name: default for name, default in fields.defaults().items() if name != "seed"
    }
    assert isinstance(values["seed"], int)
    assert 0 <= values["seed"] < 2**31


def test_two_requests_draw_different_seeds() -> None:
    assert len({parse_parameters({})["seed"] for _ in range(8)}) > 1


def test_form_strings_and_json_values_give_the_same() -> None:
    form = parse_parameters({"inference_steps": "30", "fps": "25", "keep_resolution": "true", "seed": "0"})
    sent = parse_parameters({"inference_steps": 30, "fps": 25, "keep_resolution": True, "seed": 0})
    assert form == sent
    assert type(form["fps"]) is float
    assert form["seed"] == 0


def test_the_alias_of_existing_clients_is_accepted() -> None:
    assert parse_parameters({"duration": 3})["duration_s"] == 3.0


@pytest.mark.parametrize(
    ("raw", "field", "words"),
    [
        ({"inference_steps": "500"}, "inference_steps", "1 to 100"),
        ({"inference_steps": "2.5"}, "inference_steps", "whole number"),
        ({"inference_steps": True}, "inference_steps", "true"),
        ({"min_resolution": 500}, "min_resolution", "multiple of 64"),
        ({"fps": "nan"}, "fps", "10 to 60"),
        ({"fps": [25]}, "fps", "number"),
        ({"keep_resolution": "perhaps"}, "keep_resolution", "true or false"),
        ({"keep_resolution": 1.0}, "keep_resolution", "true or false"),
        ({"model_name": "sora"}, "model_name", "lite or sonic"),
        ({"duration": 3, "duration_s": 3}, "duration_s", "twice"),
        ({"motion_scale": 1.0}, "motion_scale", "not a parameter"),
    ],
)
def test_a_bad_parameter_is_refused_with_field_value_and_range(raw: dict, field: str, words: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_parameters(raw)
    assert caught.value.type == "invalid_parameter"
    assert caught.value.http_status == 422
    assert caught.value.field == field
    assert words in caught.value.message


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(RequestError) as caught:
        parse_parameters({"inference_step": 20})
    assert caught.value.hint == "Did you mean inference_steps?"


@given(st.sampled_from(NUMBERS), st.floats(allow_nan=True, allow_infinity=True))
def test_no_number_outside_its_range_ever_gets_through(field: fields.Field, number: float) -> None:
    try:
        value = parse_parameters({field.name: number})[field.name]
    except RequestError:
        return
    assert isinstance(value, int | float)
    assert math.isfinite(value)
    assert field.minimum <= value <= field.maximum
    assert value % (field.multiple_of or 1) == 0 or field.dtype == "float"


def test_openapi_names_every_parameter_with_its_range() -> None:
    for content in generate_body()["content"].values():
        schema = content["schema"]
        properties = schema["properties"].get("prompt", schema)["properties"]
        for field in fields.PARAMETERS:
            assert properties[field.name]["description"] == field.help
            assert properties[field.name].get("minimum") == field.minimum


def test_a_request_may_say_what_experiment_it_is_part_of() -> None:
    values = parse_order({"experiment": "steps-2026", "block": "7", "randomized": "true", "inference_steps": "12"})
    assert (values["experiment"], values["block"], values["randomized"], values["inference_steps"]) == ("steps-2026", "7", True, 12)
    assert values["fps"] == 25.0
    assert "replay_of" not in values


@pytest.mark.parametrize(("name", "value"), [("randomized", "perhaps"), ("experiment", "x" * 129), ("block", "a\u202eb")])
def test_a_label_that_is_no_label_is_refused(name: str, value: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_order({name: value})
    assert (caught.value.type, caught.value.field) == ("invalid_parameter", name)
