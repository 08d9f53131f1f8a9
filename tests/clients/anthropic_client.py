"""The official anthropic client against a server: TAWNY_URL says where. Run by tools/clients."""
import json
import os

import anthropic

client = anthropic.Anthropic(base_url=os.environ["TAWNY_URL"], api_key="none", max_retries=0, timeout=300)
HI = [{"role": "user", "content": "Name a colour."}]
COLOUR = {
    "name": "set_colour",
    "description": "Sets the colour of the lamp.",
    "input_schema": {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "blue"]}},
        "required": ["colour"],
        "additionalProperties": False,
    },
}


def ask(extra=None, **more):
    """`extra`: what the client has no parameter for (any more)."""
    return client.messages.create(**{"model": "any", "max_tokens": 12, "messages": HI, "extra_body": extra or {"seed": 7}, **more})


def test_message():
    m = ask(system="Be brief.", metadata={"user_id": "someone"})
    assert m.type == "message" and m.role == "assistant" and m.id.startswith("msg_")
    assert m.content[0].type == "text" and m.content[0].text
    assert m.stop_reason in ("end_turn", "max_tokens")
    assert 0 < m.usage.output_tokens <= 12 and m.usage.input_tokens + m.usage.cache_read_input_tokens > 5


def test_same_again_from_the_cache():
    first, second = ask({"temperature": 0}), ask({"temperature": 0})
    assert first.content[0].text == second.content[0].text
    assert second.usage.cache_read_input_tokens > 0


def test_stream_is_the_whole():
    whole = ask()
    with client.messages.stream(model="any", max_tokens=12, messages=HI, extra_body={"seed": 7}) as s:
        text = "".join(s.text_stream)
        final = s.get_final_message()
    assert text == whole.content[0].text == final.content[0].text
    assert final.stop_reason == whole.stop_reason and final.usage.output_tokens == whole.usage.output_tokens


def test_order_of_events():
    types = [e.type for e in ask(stream=True)]
    rest = [t for t in types if t not in ("content_block_delta", "ping")]
    assert rest == ["message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"]


def test_stop_sequences():
    word = ask({"temperature": 0}).content[0].text.split()[1]
    m = ask({"temperature": 0}, stop_sequences=[word])
    assert m.stop_reason == "stop_sequence" and m.stop_sequence == word
    assert all(word not in b.text for b in m.content)


def test_tool_is_called_and_answered():
    for choice in ({"type": "any"}, {"type": "tool", "name": "set_colour"}):
        m = ask(tools=[COLOUR], tool_choice=choice, max_tokens=100)
        assert m.stop_reason == "tool_use", m
        call = m.content[-1]
        assert call.type == "tool_use" and call.name == "set_colour" and call.input["colour"] in ("red", "blue")
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "done"}
        turns = HI + [{"role": "assistant", "content": m.content}, {"role": "user", "content": [result]}]
        assert ask(messages=turns, tools=[COLOUR], tool_choice={"type": "none"}).content[0].text


def test_tool_is_called_in_a_stream():
    more = {"model": "any", "max_tokens": 100, "messages": HI, "tools": [COLOUR], "tool_choice": {"type": "any"}}
    pieces = {}  # of each block: a model may call more than once
    with client.messages.stream(**more) as s:
        for e in s:
            if e.type == "content_block_delta" and e.delta.type == "input_json_delta":
                pieces[e.index] = pieces.get(e.index, "") + e.delta.partial_json
        final = s.get_final_message()
    calls = {i: c.input for i, c in enumerate(final.content) if c.type == "tool_use"}
    assert calls and all(x["colour"] in ("red", "blue") for x in calls.values())
    assert {i: json.loads(x) for i, x in pieces.items()} == calls
    assert final.stop_reason == "tool_use"


def test_tools_need_not_be_called():
    assert ask(tools=[COLOUR], tool_choice={"type": "auto", "disable_parallel_tool_use": True}).content


def test_structured_output():
    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], "additionalProperties": False}
    m = ask(max_tokens=60, output_config={"format": {"type": "json_schema", "schema": schema}})
    assert json.loads(m.content[0].text)["n"] in (1, 2)


def test_prefill():
    m = ask(messages=HI + [{"role": "assistant", "content": "The colour is"}])
    assert m.content[0].text


def test_count_tokens():
    few = client.messages.count_tokens(model="any", messages=HI)
    more = client.messages.count_tokens(model="any", messages=HI, system="Be brief.", tools=[COLOUR])
    m = ask(max_tokens=1)
    assert few.input_tokens == m.usage.input_tokens + m.usage.cache_read_input_tokens < more.input_tokens


def test_errors_have_their_class():
    for more in ({"max_tokens": 0}, {"messages": []}, {"extra": {"temperature": 9e9}}, {"tools": [{"name": "x"}]}, {"tool_choice": {"type": "any"}}):
        try:
            ask(**more)
        except anthropic.BadRequestError as e:
            assert e.body["type"] == "error" and e.body["error"]["type"] == "invalid_request_error"
        else:
            raise AssertionError(more)
