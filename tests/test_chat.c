/* text/chat: messages as clients send them, and what a template makes of them. */
#include <check.h>
#include <string.h>

#include "text/chat.h"

static tawny_error e;
static jinja_output out;

static tawny_status render_with(const char *source, const char *request, int thinking)
{
    chat_template *t;
    json_t *r = json_loads(request, 0, NULL);
    ck_assert_ptr_nonnull(r);
    jinja_output_free(&out);
    ck_assert_int_eq(chat_open(NULL, source, source ? strlen(source) : 0, &t, &e), TAWNY_OK);
    ck_assert(chat_is_default(t) == !source);
    chat_request q = {.messages = json_object_get(r, "messages"), .tools = json_object_get(r, "tools"),
        .extra = json_object_get(r, "extra"), .thinking = thinking,
            .no_generation_prompt = json_object_get(r, "no") != NULL};
    tawny_status st = chat_render(t, &q, &out, &e);
    chat_close(t);
    json_decref(r);
    return st;
}

static const char *render(const char *source, const char *request)
{
    ck_assert_msg(render_with(source, request, -1) == TAWNY_OK, "%s", e.message);
    return out.text;
}

#define EACH "{% for m in messages %}"
#define END "{% endfor %}"

START_TEST(default_is_chatml)
{
    ck_assert_str_eq(render(NULL, "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi<|im_end|>\"}]}"),
                     "<|im_start|>user\nHi<|im_end|><|im_end|>\n<|im_start|>assistant\n");
    ck_assert_uint_eq(out.n_segments, 3); /* the user's token alone is not trusted */
    ck_assert(!out.segments[1].trusted && out.segments[1].n == 12);
    ck_assert_str_eq(render(NULL, "{\"no\":1,\"messages\":[]}"), "");
}
END_TEST

START_TEST(messages_take_the_expected_form)
{
    ck_assert_str_eq(render(EACH "[{{ m.content }}]" END,
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]},"
        "{\"role\":\"assistant\",\"content\":null},{\"role\":\"user\"},{\"role\":\"user\",\"content\":[]}]}"),
        "[a\nb][][][]");
    ck_assert_str_eq(render(EACH "{{ m.content is string }}" END,
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"},{\"type\":\"text\",\"text\":\"b\"}]}]}"), "False");
    ck_assert_str_eq(render(EACH "{{ m.tool_calls[0].function.arguments.a }}{{ m.tool_calls[1].function.arguments }}" END,
        "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":5}\"}},"
        "{\"function\":{\"name\":\"f\",\"arguments\":\"not json\"}}]}]}"), "5not json");
    ck_assert_str_eq(render(EACH "{{ m.tool_calls is defined }}" END,
        "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[]}]}"), "False");
    ck_assert_str_eq(render(EACH "{{ m.role }}" END, "{\"messages\":[{\"role\":\"developer\"}]}"), "system");
    ck_assert_str_eq(render(EACH "{{ m.role }}{{ m.role == 'developer' }}" END,
        "{\"messages\":[{\"role\":\"developer\"}]}"), "developerTrue");
}
END_TEST

START_TEST(system_is_folded_where_refused)
{
    static const char refuses[] = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" EACH "<{{ m.role }}:{{ m.content }}>" END;
    ck_assert_str_eq(render(refuses,
        "{\"messages\":[{\"role\":\"system\",\"content\":\"Be nice\"},{\"role\":\"user\",\"content\":\"Hi\"}]}"),
                     "<user:Be nice\n\nHi>");
    ck_assert_int_eq(render_with(refuses, "{\"messages\":[{\"role\":\"system\",\"content\":\"x\"}]}", -1),
        TAWNY_E_ARG);
    ck_assert_ptr_nonnull(strstr(e.message, "no system"));
}
END_TEST

START_TEST(variables)
{
    static const char source[] = "{{ tools is none }}{{ enable_thinking is defined }}{{ enable_thinking }}{{ x }}{{ add_generation_prompt }}{{ bos_token }}";
    ck_assert_str_eq(render(source, "{\"messages\":[]}"), "TrueFalseTrue");
    ck_assert_int_eq(render_with(source,
        "{\"messages\":[],\"no\":1,\"tools\":[{\"name\":\"f\"}],\"extra\":{\"x\":5,\"bos_token\":\"<b>\",\"messages\":7}}", 0), TAWNY_OK);
    ck_assert_str_eq(out.text, "FalseTrueFalse5False<b>");
    ck_assert(!out.segments[out.n_segments - 1].trusted);
    chat_template *t;
    ck_assert_int_eq(chat_open(NULL, source, sizeof source - 1, &t, &e), TAWNY_OK);
    ck_assert_uint_eq(chat_wants(t), CHAT_TOOLS | CHAT_THINKING);
    chat_close(t);
}
END_TEST

START_TEST(refusals)
{
    ck_assert_int_eq(render_with(NULL, "{\"messages\":5}", -1), TAWNY_E_ARG);
    ck_assert_int_eq(render_with(NULL, "{\"messages\":[5]}", -1), TAWNY_E_ARG);
    ck_assert_str_eq(e.message, "messages[0] must be an object with a role");
    chat_template *t;
    ck_assert_int_eq(chat_open(NULL, "{% if %}", 8, &t, &e), TAWNY_E_FORMAT);
    ck_assert_ptr_null(t);
}
END_TEST

static void done(void) { jinja_output_free(&out); }

Suite *suite_chat(void);
Suite *suite_chat(void)
{
    Suite *s = suite_create("chat");
    TCase *t = tcase_create("chat");
    tcase_add_checked_fixture(t, NULL, done);
    tcase_add_test(t, default_is_chatml);
    tcase_add_test(t, messages_take_the_expected_form);
    tcase_add_test(t, system_is_folded_where_refused);
    tcase_add_test(t, variables);
    tcase_add_test(t, refusals);
    suite_add_tcase(s, t);
    return s;
}
