"""The official openai client against a server, every feature streamed and not: TAWNY_URL says where. Run by tools/clients."""
import json
import os
import unittest

import openai
from openai import OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseFunctionToolCall, ResponseOutputMessage

URL = os.environ.get("TAWNY_URL", "http://127.0.0.1:8080")
client = OpenAI(base_url=URL + "/v1", api_key="none", max_retries=0, timeout=120)
MODEL = "any"
ASK = [{"role": "user", "content": "Name three colours."}]
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 0, "maximum": 120},
                   "kind": {"enum": ["cat", "dog"]}},
    "required": ["name", "age", "kind"], "additionalProperties": False,
}
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 10}, "days": {"type": "integer", "minimum": 1, "maximum": 9},
                   "unit": {"type": "string", "enum": ["C", "F"]}},
    "required": ["city", "days", "unit"], "additionalProperties": False,
}
WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "The weather.", "parameters": PARAMETERS, "strict": True}}
TIME = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}


def chat(**more):
    more = {"max_tokens": 24, "seed": 7, "messages": ASK, "model": MODEL} | more
    return client.chat.completions.create(**more)


def check_person(test, text):
    person = json.loads(text)
    test.assertEqual(set(person), {"name", "age", "kind"})
    test.assertIn(person["kind"], ("cat", "dog"))
    test.assertTrue(isinstance(person["age"], int) and 0 <= person["age"] <= 120)


def check_weather(test, arguments):
    a = json.loads(arguments)
    test.assertEqual(set(a), {"city", "days", "unit"})
    test.assertIn(a["unit"], ("C", "F"))
    test.assertTrue(1 <= a["days"] <= 9 and len(a["city"]) <= 10)


class Chat(unittest.TestCase):
    def test_shape(self):
        a = chat()
        self.assertIsInstance(a, ChatCompletion)
        self.assertEqual(a.object, "chat.completion")
        self.assertRegex(a.id, "^chatcmpl-")
        self.assertEqual(a.choices[0].message.role, "assistant")
        self.assertIn(a.choices[0].finish_reason, ("stop", "length"))
        self.assertEqual(a.usage.total_tokens, a.usage.prompt_tokens + a.usage.completion_tokens)
        self.assertIsNotNone(a.usage.prompt_tokens_details.cached_tokens)
        self.assertEqual(a.usage.completion_tokens_details.reasoning_tokens, 0)
        self.assertRegex(a.system_fingerprint, r"^tawny-.*-c\d+")

    def test_seed_and_stream_agree(self):
        whole, again, parts = chat(), chat(), ""
        self.assertEqual(whole.choices[0].message.content, again.choices[0].message.content)
        last = None
        for c in chat(stream=True, stream_options={"include_usage": True}):
            self.assertIsInstance(c, ChatCompletionChunk)
            last = c
            for choice in c.choices:
                self.assertIsNone(c.usage)
                parts += choice.delta.content or ""
        self.assertEqual(parts, whole.choices[0].message.content)
        self.assertEqual(last.choices, [])
        self.assertEqual(last.usage.completion_tokens, whole.usage.completion_tokens)

    def test_stream_without_usage(self):
        chunks = list(chat(stream=True))
        self.assertTrue(all(c.usage is None for c in chunks))
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        self.assertIsNotNone(chunks[-1].choices[0].finish_reason)

    def test_n(self):
        a = chat(n=3, temperature=1.5)
        self.assertEqual([c.index for c in a.choices], [0, 1, 2])
        self.assertGreater(len({c.message.content for c in a.choices}), 1)
        seen = {c.choices[0].index for c in chat(n=2, stream=True)}
        self.assertEqual(seen, {0, 1})

    def test_stop(self):
        whole = chat(temperature=0).choices[0].message.content
        stop = whole[len(whole) // 2:][:3]
        cut = chat(temperature=0, stop=[stop, "never there"])
        self.assertEqual(cut.choices[0].message.content, whole[:whole.index(stop)])
        self.assertEqual(cut.choices[0].finish_reason, "stop")
        streamed = "".join(c.choices[0].delta.content or "" for c in chat(temperature=0, stop=stop, stream=True))
        self.assertEqual(streamed, cut.choices[0].message.content)

    def test_logprobs(self):
        a = chat(logprobs=True, top_logprobs=3, max_tokens=5, temperature=0).choices[0]
        self.assertEqual(len(a.logprobs.content), 5)
        for t in a.logprobs.content:
            self.assertEqual(len(t.top_logprobs), 3)
            self.assertLessEqual(t.logprob, 0)
            self.assertEqual(t.logprob, max(x.logprob for x in t.top_logprobs))
        self.assertEqual(b"".join(bytes(t.bytes) for t in a.logprobs.content).decode(errors="replace"), a.message.content)
        streamed = [t for c in chat(logprobs=True, top_logprobs=3, max_tokens=5, temperature=0, stream=True) if c.choices[0].logprobs
                    for t in c.choices[0].logprobs.content]
        self.assertEqual(streamed, a.logprobs.content)

    def test_logit_bias_and_penalties(self):
        chat(logit_bias={"5": -100}, presence_penalty=0.5, frequency_penalty=-0.5, max_tokens=3)
        with self.assertRaises(openai.BadRequestError) as e:
            chat(logit_bias={"999999999": 1})
        self.assertEqual(e.exception.param, "logit_bias")

    def test_max_completion_tokens(self):
        self.assertEqual(chat(max_tokens=None, max_completion_tokens=4).usage.completion_tokens, 4)

    def test_json_object(self):
        a = chat(response_format={"type": "json_object"}, max_tokens=300, temperature=0)
        if a.choices[0].finish_reason == "stop":
            self.assertIsInstance(json.loads(a.choices[0].message.content), dict)

    def test_json_schema(self):
        shape = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": PERSON}}
        for more in ({}, {"temperature": 1.5, "seed": 3}):
            check_person(self, chat(response_format=shape, max_tokens=200, **more).choices[0].message.content)
        text = "".join(c.choices[0].delta.content or "" for c in chat(response_format=shape, max_tokens=200, stream=True))
        check_person(self, text)
        flat = {"type": "json_schema", "schema": PERSON}
        check_person(self, chat(response_format=flat, max_tokens=200).choices[0].message.content)

    def test_refused_by_name(self):
        for field, more in {"response_format": {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "odd"}}}},
                            "functions": {"extra_body": {"functions": [{"name": "f"}]}}, "n": {"n": 0}, "temperature": {"temperature": -1},
                            "top_logprobs": {"top_logprobs": 3}, "tools": {"tools": [{"type": "function", "function": {"name": "a b"}}]},
                            "tool_choice": {"tool_choice": "required"}, "reasoning_effort": {"reasoning_effort": "huge"},
                            "messages": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}]},
                            }.items():
            with self.assertRaises(openai.BadRequestError, msg=field) as e:
                chat(**more)
            self.assertEqual(e.exception.param, field)
            self.assertIn(field, e.exception.message)

    def test_harmless_are_ignored(self):
        chat(user="me", store=False, metadata={"a": "b"}, service_tier="auto", max_tokens=1, reasoning_effort="low",
             extra_body={"some_new_field": 1})

    def test_parts_roles_and_results(self):
        chat(max_tokens=2, messages=[
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
            {"role": "user", "content": [{"type": "text", "text": "Weather in Bern?"}, {"type": "text", "text": "Please."}]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function":
                                                                    {"name": "get_weather", "arguments": "{\"city\":\"Bern\"}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "{\"sky\":\"blue\"}"}], tools=[WEATHER])

    def test_fingerprint(self):
        a, b = (chat(max_tokens=3, extra_body={"fingerprint": True}) for _ in range(2))
        self.assertRegex(a.fingerprint, "^[0-9a-f]{32}$")
        self.assertEqual(a.fingerprint, b.fingerprint)


class Tools(unittest.TestCase):
    def test_required(self):
        for seed in range(3):
            a = chat(tools=[WEATHER, TIME], tool_choice="required", parallel_tool_calls=False, max_tokens=200, seed=seed, temperature=1.2)
            self.assertEqual(a.choices[0].finish_reason, "tool_calls")
            self.assertEqual(len(a.choices[0].message.tool_calls), 1)
            call = a.choices[0].message.tool_calls[0]
            self.assertEqual(call.type, "function")
            if call.function.name == "get_weather":
                check_weather(self, call.function.arguments)
            else:
                self.assertEqual(json.loads(call.function.arguments), {})

    def test_named(self):
        choice = {"type": "function", "function": {"name": "get_weather"}}
        a = chat(tools=[WEATHER, TIME], tool_choice=choice, parallel_tool_calls=False, max_tokens=200)
        check_weather(self, a.choices[0].message.tool_calls[0].function.arguments)
        self.assertIsNone(a.choices[0].message.content)
        id_, name, arguments = None, None, ""
        reason, pieces = None, 0
        for c in chat(tools=[WEATHER, TIME], tool_choice=choice, parallel_tool_calls=False, max_tokens=200, stream=True):
            for t in c.choices[0].delta.tool_calls or []:
                self.assertEqual(t.index, 0)
                id_, name = id_ or t.id, name or t.function.name
                arguments += t.function.arguments or ""
                pieces += bool(t.function.arguments)
            reason = c.choices[0].finish_reason or reason
        self.assertEqual(name, "get_weather")
        self.assertRegex(id_, "^call_")
        self.assertEqual(reason, "tool_calls")
        self.assertEqual(arguments, a.choices[0].message.tool_calls[0].function.arguments)
        self.assertGreater(pieces, 0)

    def test_cut_off(self):
        choice = {"type": "function", "function": {"name": "get_weather"}}
        more = {"tools": [WEATHER, TIME], "tool_choice": choice, "parallel_tool_calls": False, "temperature": 0}
        for n in range(8, 60, 4):
            a = chat(max_tokens=n, **more)
            with client.chat.completions.stream(model=MODEL, messages=ASK, seed=7, max_tokens=n, **more) as s:
                final = s.get_final_completion() if a.choices[0].finish_reason == "tool_calls" else None
            if final:
                self.assertEqual(final.choices[0].message.tool_calls[0].function.arguments, a.choices[0].message.tool_calls[0].function.arguments)
                break
            self.assertEqual(a.choices[0].finish_reason, "length")
            arguments = "".join(t.function.arguments or "" for c in chat(max_tokens=n, stream=True, **more) for t in c.choices[0].delta.tool_calls or [])
            calls = a.choices[0].message.tool_calls
            self.assertEqual(arguments, calls[0].function.arguments if calls else "")

    def test_allowed(self):
        choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "get_time"}}]}}
        a = chat(tools=[WEATHER, TIME], tool_choice=choice, parallel_tool_calls=False, max_tokens=200)
        self.assertEqual(a.choices[0].message.tool_calls[0].function.name, "get_time")

    def test_none_and_auto(self):
        self.assertIsNone(chat(tools=[WEATHER], tool_choice="none").choices[0].message.tool_calls)
        for call in chat(tools=[WEATHER], tool_choice="auto", max_tokens=200).choices[0].message.tool_calls or []:
            check_weather(self, call.function.arguments)  # strict

    def test_refusals(self):
        odd = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"x": {"type": "odd"}}}}}
        with self.assertRaises(openai.BadRequestError) as e:
            chat(tools=[odd], tool_choice="required")
        self.assertIn("tools/0/function/parameters", e.exception.message)
        with self.assertRaises(openai.BadRequestError):
            chat(tools=[TIME], tool_choice={"type": "function", "function": {"name": "other"}})


class Completions(unittest.TestCase):
    def create(self, **more):
        return client.completions.create(**({"model": MODEL, "prompt": "The sky is", "max_tokens": 8, "seed": 5} | more))

    def test_shape_and_stream(self):
        a = self.create()
        self.assertEqual(a.object, "text_completion")
        streamed = "".join(c.choices[0].text for c in self.create(stream=True))
        self.assertEqual(streamed, a.choices[0].text)

    def test_many_prompts(self):
        a = self.create(prompt=["The sky is", "An owl"], n=2, temperature=0)
        self.assertEqual([c.index for c in a.choices], [0, 1, 2, 3])
        self.assertEqual(a.choices[2].text, self.create(prompt="An owl", temperature=0).choices[0].text)
        both = self.create(prompt="The sky is").usage.prompt_tokens + self.create(prompt="An owl").usage.prompt_tokens
        self.assertEqual(a.usage.prompt_tokens, both)

    def test_echo(self):
        self.assertTrue(self.create(echo=True).choices[0].text.startswith("The sky is"))
        self.assertTrue("".join(c.choices[0].text for c in self.create(echo=True, stream=True)).startswith("The sky is"))

    def test_logprobs(self):
        l = self.create(logprobs=2, temperature=0).choices[0].logprobs
        self.assertEqual(len(l.tokens), 8)
        self.assertEqual(len(l.token_logprobs), 8)
        self.assertTrue(all(1 <= len(t) <= 2 for t in l.top_logprobs))
        self.assertEqual(l.text_offset[0], 0)
        self.assertEqual(l.text_offset, sorted(l.text_offset))

    def test_refused(self):
        for field, more in {"suffix": {"suffix": "x"}, "best_of": {"best_of": 3}, "echo": {"echo": True, "logprobs": 1}}.items():
            with self.assertRaises(openai.BadRequestError, msg=field) as e:
                self.create(**more)
            self.assertEqual(e.exception.param, field)


class Responses(unittest.TestCase):
    TOOL = {"type": "function", "name": "get_weather", "parameters": PARAMETERS, "strict": True}

    def create(self, **more):
        return client.responses.create(**({"model": MODEL, "input": "Name three colours.", "max_output_tokens": 24, "temperature": 0} | more))

    def test_shape(self):
        a = self.create(instructions="Be brief.")
        self.assertIsInstance(a, Response)
        self.assertIn(a.status, ("completed", "incomplete"))
        self.assertEqual(a.instructions, "Be brief.")
        message = a.output[-1]
        self.assertIsInstance(message, ResponseOutputMessage)
        self.assertEqual(a.output_text, message.content[0].text)
        self.assertEqual(a.usage.total_tokens, a.usage.input_tokens + a.usage.output_tokens)
        if a.status == "incomplete":
            self.assertEqual(a.incomplete_details.reason, "max_output_tokens")

    def test_stream(self):
        whole, text, kinds, numbers, last = self.create(), "", [], [], None
        for e in self.create(stream=True):
            kinds.append(e.type)
            numbers.append(e.sequence_number)
            if e.type == "response.output_text.delta":
                text += e.delta
            last = e
        self.assertEqual(kinds[:2], ["response.created", "response.in_progress"])
        self.assertEqual(numbers, list(range(len(numbers))))
        for kind in ("output_item.added", "content_part.added", "output_text.done", "content_part.done", "output_item.done"):
            self.assertIn("response." + kind, kinds)
        self.assertIn(last.type, ("response.completed", "response.incomplete"))
        self.assertEqual(text, whole.output_text)
        self.assertEqual(last.response.output_text, whole.output_text)

    def test_helper_stream(self):
        with client.responses.stream(model=MODEL, input="Hello", max_output_tokens=5) as s:
            for _ in s:
                pass

    def test_tools(self):
        a = self.create(tools=[self.TOOL], tool_choice="required", parallel_tool_calls=False, max_output_tokens=200)
        call = a.output[-1]
        self.assertIsInstance(call, ResponseFunctionToolCall)
        check_weather(self, call.arguments)
        arguments, pieces = "", 0
        for e in self.create(tools=[self.TOOL], tool_choice={"type": "function", "name": "get_weather"}, parallel_tool_calls=False,
                             max_output_tokens=200, stream=True):
            if e.type == "response.function_call_arguments.delta":
                arguments += e.delta
                pieces += 1
            if e.type == "response.function_call_arguments.done":
                self.assertEqual(arguments, e.arguments)
        check_weather(self, arguments)
        self.assertGreater(pieces, 0)
        self.create(tools=[self.TOOL], input=[{"role": "user", "content": "Weather in Bern?"}, call.model_dump(),
                                              {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}])

    def test_schema(self):
        a = self.create(text={"format": {"type": "json_schema", "name": "person", "schema": PERSON, "strict": True}}, max_output_tokens=200)
        check_person(self, a.output_text)

    def test_items(self):
        first = self.create()
        self.create(input=[{"role": "user", "content": [{"type": "input_text", "text": "Name three colours."}]},
                           *[o.model_dump() for o in first.output], {"role": "user", "content": "And one more."}])

    def test_refused(self):
        for field, more in {"previous_response_id": {"previous_response_id": "resp_1"}, "tools": {"tools": [{"type": "web_search"}]},
                            "input": {"input": [{"type": "item_reference", "id": "x"}]}}.items():
            with self.assertRaises(openai.BadRequestError, msg=field) as e:
                self.create(**more)
            self.assertEqual(e.exception.param, field)


class Embeddings(unittest.TestCase):
    """The server was started with --pooling mean."""

    def test_formats(self):
        texts = ["an owl", "a fox"]
        lists = client.embeddings.create(model=MODEL, input=texts, encoding_format="float")
        packed = client.embeddings.create(model=MODEL, input=texts)  # the client asks for base64 and unpacks it
        self.assertEqual([e.index for e in lists.data], [0, 1])
        for a, b in zip(lists.data, packed.data):
            self.assertAlmostEqual(sum(x * x for x in a.embedding), 1, places=4)
            self.assertLess(max(abs(x - y) for x, y in zip(a.embedding, b.embedding)), 1e-6)
        self.assertEqual(lists.usage.prompt_tokens, lists.usage.total_tokens)

    def test_refused(self):
        with self.assertRaises(openai.BadRequestError) as e:
            client.embeddings.create(model=MODEL, input="x", dimensions=7)
        self.assertEqual(e.exception.param, "dimensions")


class Models(unittest.TestCase):
    def test_models(self):
        models = client.models.list().data
        self.assertEqual(len(models), 1)
        self.assertEqual(client.models.retrieve(models[0].id).id, models[0].id)
        with self.assertRaises(openai.NotFoundError):
            client.models.retrieve("other")


if __name__ == "__main__":
    unittest.main()
