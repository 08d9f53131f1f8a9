"""The ollama client against a server: TAWNY_URL says where. Run by tools/clients."""
import json
import os

import ollama

client = ollama.Client(host=os.environ["TAWNY_URL"])
HI = [{"role": "user", "content": "Name a colour."}]
OPTIONS = {"num_predict": 10, "seed": 5}
COLOUR = {
    "type": "function",
    "function": {
        "name": "set_colour",
        "description": "Sets the colour of the lamp.",
        "parameters": {"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]},
    },
}


def test_chat_and_its_stream():
    whole = client.chat("any", HI, options=OPTIONS)
    parts = list(client.chat("any", HI, options=OPTIONS, stream=True))
    assert whole.done and whole.done_reason in ("length", "stop") and whole.eval_count and whole.total_duration > 0
    assert "".join(p.message.content for p in parts) == whole.message.content
    assert parts[-1].done and not parts[0].done


def test_generate_and_its_stream():
    whole = client.generate("any", "Name a colour.", options=OPTIONS, system="Be brief.", keep_alive="5m")
    parts = client.generate("any", "Name a colour.", options=OPTIONS, system="Be brief.", stream=True)
    assert "".join(p.response for p in parts) == whole.response != ""


def test_raw():
    assert client.generate("any", "One, two,", raw=True, options=OPTIONS).response


def test_formats():
    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], "additionalProperties": False}
    r = client.chat("any", HI, format=schema, options={"num_predict": 60})
    assert json.loads(r.message.content)["n"] in (1, 2)
    assert client.generate("any", "x", format="json", options={"num_predict": 5}).response.lstrip().startswith("{")


def test_tools_in_a_conversation():
    call = {"function": {"name": "set_colour", "arguments": {"colour": "red"}}}
    turns = HI + [{"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "content": "done", "tool_name": "set_colour"}]
    assert client.chat("any", turns, tools=[COLOUR], options=OPTIONS).done


def test_logprobs():
    r = client.chat("any", HI, logprobs=True, top_logprobs=2, options=OPTIONS)
    assert len(r.logprobs) == r.eval_count and len(r.logprobs[0].top_logprobs) == 2 and r.logprobs[0].logprob <= 0
    parts = list(client.chat("any", HI, logprobs=True, top_logprobs=2, options=OPTIONS, stream=True))
    assert [t.token for p in parts for t in p.logprobs or []] == [t.token for t in r.logprobs]


def test_think_off():
    assert client.chat("any", HI, think=False, options=OPTIONS).done


def test_embeddings():
    one, two = client.embed("any", "owl").embeddings, client.embed("any", ["cat", "owl"]).embeddings
    assert list(one[0]) == list(two[1]) and abs(sum(v * v for v in one[0]) - 1) < 1e-4
    assert list(client.embeddings("any", "owl").embedding) == list(one[0])


def test_the_model():
    assert client.list().models[0].details.format == "gguf"
    assert client.ps().models[0].context_length
    shown = client.show("any")
    assert "completion" in shown.capabilities and shown.modelinfo["general.architecture"]


def test_errors():
    try:
        client.chat("any", HI, options={"top_p": 5})
    except ollama.ResponseError as e:
        assert e.status_code == 400 and "top_p" in e.error
    else:
        raise AssertionError("top_p")
    try:
        client.chat("any", [{"role": "user", "content": "x", "images": [b"123"]}])
    except ollama.ResponseError as e:
        assert e.status_code == 400
    else:
        raise AssertionError("images")
